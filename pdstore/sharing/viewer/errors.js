// The errors that a person is shown.

/** What is wrong with a store: `kind` is "network" (worth another try), "damaged", "absent" or "refused". */
export class StoreError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}
