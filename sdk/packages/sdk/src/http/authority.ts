/** What the HTTP layer needs from the session. The session needs the HTTP layer in turn, hence the interface. */

/**
 * Identifies the player on requests.
 *
 * @internal
 */
export interface Credentials {
  readonly token: string;
  readonly signingKey: string;
}

/** How to go on after an answer with 401 or 403. */
export type Recovery = 'repeat' | 'give-up';

/** @internal */
export interface Authority {
  /** Returns valid credentials, renewing or signing in where that is allowed. */
  credentials(): Promise<Credentials>;
  /** Reacts to a rejection; `used` are the credentials that were rejected. */
  rejected(code: string, used: Credentials): Promise<Recovery>;
  /** Accepts a token that the service renewed. */
  renewed(used: Credentials, token: string, expires: number): void;
}
