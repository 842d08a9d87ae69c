/** The requests of all phones, each with the text that it signed. */
import { el } from './dom.js';
import { GAME_ORIGIN, type LoggedRequest } from './stage.js';
import { t } from './texts.js';

const MAX_ENTRIES = 100;

export class RequestLog {
  readonly element = el('ol', { className: 'log', reversed: true, data: { list: 'requests' } });

  add({ request, status }: LoggedRequest): void {
    const path = request.url.replace(GAME_ORIGIN, '');
    const signature = request.header['x-avalon-signature'];
    const entry = el('li', {}, `${request.method} ${path} → ${status}`);
    if (signature !== undefined) {
      const text = el('pre', { tabIndex: 0 });
      const details = el('details', {}, el('summary', {}, t('signedText')), text);
      details.addEventListener(
        'toggle',
        () => void signedText(request, path).then((value) => (text.textContent = value)),
      );
      entry.append(details);
    }
    this.element.prepend(entry);
    while (this.element.childElementCount > MAX_ENTRIES) this.element.lastElementChild?.remove();
  }
}

/** Returns the text of version 2 of the signature (docs/api.md). */
async function signedText({ method, header, body }: LoggedRequest['request'], path: string): Promise<string> {
  const bytes = new TextEncoder().encode(typeof body === 'string' ? body : '');
  const digest = Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
  const hex = digest.map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const { 'x-avalon-timestamp': timestamp, 'x-avalon-nonce': nonce, 'idempotency-key': key = '' } = header;
  return ['v2', method, path, timestamp, nonce, key, hex].join('\n');
}
