/** What can go wrong with a lab, each with what to do about it. */
export class LabError extends Error {
  override readonly name: string = 'LabError'
}
/** A lab of that name exists. */
export class LabAlreadyUp extends LabError {
  override readonly name = 'LabAlreadyUp'
}
/** There is no lab of that name. */
export class LabNotFound extends LabError {
  override readonly name = 'LabNotFound'
}
/** Something the lab needs is missing on this machine. */
export class LabRequirement extends LabError {
  override readonly name = 'LabRequirement'
}
