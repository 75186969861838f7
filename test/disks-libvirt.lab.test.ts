import { disksSuite } from './disks-suite.ts'

disksSuite('libvirt')
