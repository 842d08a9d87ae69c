/** The network of a phone: its type, its faults, and the transport that carries requests to a server. */
import type { Clock } from './clock.js';

/** A request as the server receives it. Header names are in lower case. */
export interface NetworkRequest {
  readonly method: string;
  readonly url: string;
  readonly header: { readonly [name: string]: string };
  readonly body: string | ArrayBuffer | undefined;
}

/** The answer of a server. */
export interface NetworkResponse {
  readonly statusCode: number;
  readonly header: { readonly [name: string]: string };
  readonly body: string;
}

/** Carries one request to a server. Rejects when no answer arrived. */
export type Transport = (request: NetworkRequest) => Promise<NetworkResponse>;

/** What happens to one request: nothing special, lost before or after the server saw it, or never answered. */
export type NetworkFault = 'none' | 'lose-request' | 'lose-answer' | 'hang';

export type NetworkType = 'wifi' | '2g' | '3g' | '4g' | '5g' | 'unknown' | 'none';

export interface NetworkStatus {
  readonly isConnected: boolean;
  readonly networkType: NetworkType;
}

/** The connection of one phone. */
export class PhoneNetwork {
  /** Time that each request takes, in milliseconds. */
  latency = 20;
  /** Decides the fault of each request. */
  fault: (request: NetworkRequest) => NetworkFault = () => 'none';
  /** Every request that was sent, in order. */
  readonly sent: NetworkRequest[] = [];
  private current: NetworkType = 'wifi';
  private readonly listeners = new Set<(status: NetworkStatus) => void>();

  constructor(
    private readonly clock: Clock,
    private readonly transport: Transport,
  ) {}

  get type(): NetworkType {
    return this.current;
  }

  set type(type: NetworkType) {
    if (type === this.current) return;
    this.current = type;
    for (const listener of Array.from(this.listeners)) listener(this.status());
  }

  status(): NetworkStatus {
    return { isConnected: this.current !== 'none', networkType: this.current };
  }

  onChange(listener: (status: NetworkStatus) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Sends a request; rejects with a reason in WeChat's words when it fails. */
  send(request: NetworkRequest): Promise<NetworkResponse> {
    return new Promise((resolve, reject) => {
      const deliver = (): void => {
        if (this.current === 'none') return reject(new Error('net::ERR_INTERNET_DISCONNECTED'));
        const fault = this.fault(request);
        if (fault === 'hang') return;
        if (fault === 'lose-request') return reject(new Error('net::ERR_CONNECTION_RESET'));
        this.sent.push(request);
        this.transport(request).then(
          (response) =>
            fault === 'none' ? resolve(response) : reject(new Error('net::ERR_CONNECTION_RESET')),
          (error: unknown) => reject(new Error(`net::ERR_FAILED ${String(error)}`)),
        );
      };
      this.clock.setTimeout(deliver, this.latency);
    });
  }
}

declare function fetch(
  url: string,
  init: { method: string; headers: { [name: string]: string }; body?: string | ArrayBuffer },
): Promise<{
  status: number;
  headers: { forEach(callback: (value: string, name: string) => void): void };
  text(): Promise<string>;
}>;

/** Returns a transport that uses the global `fetch`; `rewrite` maps the game's addresses to others. */
export function fetchTransport(rewrite: (url: string) => string = (url) => url): Transport {
  return async ({ method, url, header, body }) => {
    const headers: { [name: string]: string } = {};
    for (const name of Object.keys(header)) headers[name] = String(header[name]);
    const hasBody = body !== undefined && method !== 'GET' && method !== 'HEAD';
    const response = await fetch(rewrite(url), hasBody ? { method, headers, body } : { method, headers });
    const answered: { [name: string]: string } = {};
    response.headers.forEach((value, name) => {
      answered[name] = value;
    });
    return { statusCode: response.status, header: answered, body: await response.text() };
  };
}
