/**
 * What the player allows: scopes with their popups, and the privacy gate. A refusal stays until it is changed in the
 * settings. The privacy gate calls the game's one listener and waits for its `resolve`.
 */
import { failure } from './callbacks.js';

/** An answer of the player to a popup. */
export type Consent = 'accept' | 'refuse';

export type Scope = 'scope.userInfo' | 'scope.WxFriendInteraction';

export interface PrivacyAnswer {
  readonly event: 'exposureAuthorization' | 'agree' | 'disagree';
  readonly buttonId?: string;
}

export type PrivacyListener = (resolve: (answer: PrivacyAnswer) => void, event: { referrer: string }) => void;

/** The consents of one player on one phone. */
export class Consents {
  /** Answers the popup of a scope that was not decided yet. */
  ask: (scope: Scope) => Consent | Promise<Consent> = () => 'accept';
  /** Whether the game declared its privacy policy at WeChat; without it, gated calls fail. */
  privacyDeclared = true;
  /** Whether the player must agree to the privacy policy first. */
  privacyNeeded = false;
  readonly decided = new Map<Scope, boolean>();
  private privacyListener: PrivacyListener | undefined;

  /** Sets the game's listener; the last one wins. */
  onPrivacy(listener: PrivacyListener): void {
    this.privacyListener = listener;
  }

  /** Forgets the listener of a game that ended. */
  reset(): void {
    this.privacyListener = undefined;
  }

  async require(scope: Scope, call: string): Promise<void> {
    await this.requirePrivacy(call);
    let allowed = this.decided.get(scope);
    if (allowed === undefined) {
      allowed = (await this.ask(scope)) === 'accept';
      this.decided.set(scope, allowed);
    }
    if (!allowed) throw failure(call, 'auth deny', { errno: 103 });
  }

  async requirePrivacy(call: string): Promise<void> {
    if (!this.privacyDeclared) {
      throw failure(call, 'api scope is not declared in the privacy agreement', { errno: 112 });
    }
    if (!this.privacyNeeded) return;
    const listener = this.privacyListener;
    const agreed =
      listener === undefined ||
      (await new Promise<boolean>((resolve) =>
        listener(
          ({ event }) => {
            if (event !== 'exposureAuthorization') resolve(event === 'agree');
          },
          { referrer: call },
        ),
      ));
    if (!agreed) throw failure(call, 'privacy permission is not authorized', { errno: 104 });
    this.privacyNeeded = false;
  }
}
