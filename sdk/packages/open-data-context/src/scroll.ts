/** Scrolling: follows the finger, then slows down, and rebounds at the ends. Distances are CSS pixels. */

/** Share of the speed that is left after one millisecond. */
const FRICTION = 0.996;
/** Share of the overshoot that is left after one millisecond. */
const REBOUND = 0.985;
const MAX_OVERSHOOT = 60;
const STOP_SPEED = 0.02;
/** Movements older than this say nothing about the speed of a flick. */
const FLICK_MS = 80;

export class Scroll {
  offset = 0;
  private speed = 0;
  private max = 0;
  private touching = false;
  private moves: { y: number; at: number }[] = [];

  /** Sets the height of what does not fit. */
  setMax(max: number): void {
    this.max = Math.max(0, max);
  }

  reset(): void {
    this.offset = 0;
    this.speed = 0;
    this.touching = false;
  }

  start(y: number, at: number): void {
    this.touching = true;
    this.speed = 0;
    this.moves = [{ y, at }];
  }

  /** Returns whether the offset changed. */
  move(y: number, at: number): boolean {
    const last = this.moves[this.moves.length - 1];
    if (!this.touching || !last) return false;
    const outside = this.offset < 0 || this.offset > this.max;
    const next = this.offset + (last.y - y) * (outside ? 0.4 : 1);
    this.moves.push({ y, at });
    this.moves = this.moves.filter((move) => at - move.at <= FLICK_MS || move.y === y);
    this.offset = Math.min(this.max + MAX_OVERSHOOT, Math.max(-MAX_OVERSHOOT, next));
    return true;
  }

  end(at: number): void {
    const first = this.moves.filter((move) => at - move.at <= FLICK_MS)[0];
    const last = this.moves[this.moves.length - 1];
    this.touching = false;
    this.speed = first && last && last.at > first.at ? (first.y - last.y) / (last.at - first.at) : 0;
  }

  /** Moves on by `ms`; returns whether it still moves. */
  step(ms: number): boolean {
    if (this.touching) return false;
    const end = Math.min(this.max, Math.max(0, this.offset));
    if (this.offset !== end) {
      this.speed = 0;
      const left = (this.offset - end) * Math.pow(REBOUND, ms);
      this.offset = Math.abs(left) < 0.5 ? end : end + left;
      return this.offset !== end;
    }
    if (Math.abs(this.speed) < STOP_SPEED) return false;
    this.offset = Math.min(this.max + MAX_OVERSHOOT, Math.max(-MAX_OVERSHOOT, this.offset + this.speed * ms));
    this.speed *= Math.pow(FRICTION, ms);
    return true;
  }
}
