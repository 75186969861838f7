/** Ports on which targets of one host listen, tried in turn: other migrations, and other programs, may have some. */
import type { VmId } from '../../core/ids.ts'
import { MigrationError } from '../../core/migration/failure.ts'
import { targetFailure } from './classify-qemu-error.ts'

/** The range that libvirt uses too, so that operators have it open already. */
const firstPort = 49_152
const lastPort = 49_215

export class FreePorts {
  #next = firstPort

  /** @throws what `listen` throws for another reason than a port that is taken, or when all are */
  async listen<T>(vm: VmId, listen: (port: number) => Promise<T>): Promise<T> {
    for (let tries = firstPort; ; tries += 1) {
      const port = this.#next
      this.#next = port === lastPort ? firstPort : port + 1
      try {
        return await listen(port)
      } catch (error) {
        const failure = targetFailure(vm, error)
        const taken = failure instanceof MigrationError && failure.failure.code === 'no-free-port'
        if (!taken || tries >= lastPort) throw error
      }
    }
  }
}
