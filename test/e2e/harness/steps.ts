/** Tests of a suite that are steps of one story: each goes on where the one before ended, so after a failure the rest is skipped. */
export function eachGoesOn(): void {
  let broken = false;
  afterEach(function () {
    broken ||= this.currentTest?.state === 'failed';
  });
  beforeEach(function () {
    if (broken) this.skip();
  });
}
