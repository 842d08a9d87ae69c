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

/** @internal */
export interface Authority {
  /** Returns valid credentials, renewing or signing in where that is allowed. */
  credentials(): Promise<Credentials>;
  /** Reacts to an answer with 401 or 403; resolves with whether to repeat. `used` are the rejected credentials. */
  rejected(code: string, used: Credentials): Promise<boolean>;
  /** Accepts a token that the service renewed. */
  renewed(used: Credentials, token: string, expires: number): void;
}
