/** A volume as libvirt's storage driver makes it (docs/formatstorage.rst). */
import { inFiles, type VolumeToMake } from '../storage-plan.ts'
import { escapeXml } from './xml.ts'

/** Sparse where the pool's volumes are files. */
export function volumeXml({ volume, format, capacity, over }: VolumeToMake, poolType: string): string {
  const files = inFiles.has(poolType)
  const compat = format === 'qcow2' ? '<compat>1.1</compat>' : ''
  const backing =
    over === undefined
      ? ''
      : `<backingStore><path>${escapeXml(over.path)}</path><format type='${escapeXml(over.format)}'/></backingStore>`
  return `<volume><name>${escapeXml(volume)}</name><capacity unit='bytes'>${capacity}</capacity>${
    files
      ? `<allocation unit='bytes'>0</allocation><target><format type='${escapeXml(format)}'/>${compat}</target>${backing}`
      : ''
  }</volume>`
}
