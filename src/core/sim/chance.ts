/**
 * The random parts of a simulated world. Each is drawn by its name, not in its turn: the guest, the attempt and the deed it belongs to.
 * So rivals on the same seed meet the same luck, whatever they do first.
 */

/** Of the seed and the names: in [0, 1). */
export type Chance = (...names: readonly (string | number)[]) => number

/** FNV-1a over the names (Fowler, Noll, Vo), then the finaliser of MurmurHash3 (Appleby), which spreads every bit. */
export const chanceOf =
  (seed: number): Chance =>
  (...names) => {
    let hash = 0x81_1c_9d_c5 ^ Math.imul(seed | 0, 0x9e_37_79_b1)
    for (const name of names) {
      const text = `${name}\u0000`
      for (let at = 0; at < text.length; at += 1) {
        hash ^= text.charCodeAt(at)
        hash = Math.imul(hash, 0x01_00_01_93)
      }
    }
    hash ^= hash >>> 16
    hash = Math.imul(hash, 0x85_eb_ca_6b)
    hash ^= hash >>> 13
    hash = Math.imul(hash, 0xc2_b2_ae_35)
    hash ^= hash >>> 16
    return (hash >>> 0) / 0x1_00_00_00_00
  }

/** Between 1 − `spread` and 1 + `spread`, evenly. */
export const around = (chance: number, spread: number): number => 1 + (2 * chance - 1) * spread
