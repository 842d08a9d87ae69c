/** The world of the playground: the phones, the simulator behind them, and what operators can do. */
import { frameRealm } from '@avalon-wx/wx-stand-in/browser';
import {
  fetchTransport,
  simulatorPlatform,
  World,
  type NetworkRequest,
  type Transport,
} from '@avalon-wx/wx-stand-in';

/** Of `avalon dev`. */
const APP_ID = 'wx0123456789abcdef';
/** The origin that the games know; requests go to the page's own. */
export const GAME_ORIGIN = 'https://wx.example.com';
/** Where `avalon dev` serves the page's files, the simulator's control routes and the operators' routes. */
export const PLAYGROUND = '/playground';

/** A request of a game with its answer. */
export interface LoggedRequest {
  readonly player: string;
  readonly request: NetworkRequest;
  readonly status: number;
}

export class Stage {
  readonly world: World;
  /** Hears of every answered request. */
  onRequest: (logged: LoggedRequest) => void = () => undefined;

  constructor() {
    const send = fetchTransport((url) => url.replace(GAME_ORIGIN, location.origin));
    const logged: Transport = async (request) => {
      const response = await send(request);
      this.onRequest({ player: '', request, status: response.statusCode });
      return response;
    };
    this.world = new World({
      transport: logged,
      platform: simulatorPlatform(location.origin + PLAYGROUND, APP_ID, fetchTransport()),
    });
  }

  /** Adds a phone with the real open data context. */
  addPhone(player: string, source: string) {
    const realm = frameRealm({ source, document });
    const phone = this.world.phone({ player, appId: APP_ID, realm });
    phone.settings.screen = { width: 320, height: 480, pixelRatio: 2 };
    return phone;
  }

  /** Calls a control route of the simulator. */
  sim(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
    return call(method, `${PLAYGROUND}/_sim${path}`, body);
  }

  /** Calls a route for operators; `avalon dev` adds the token. */
  admin(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
    return call(method, `${PLAYGROUND}/admin${path}`, body);
  }
}

async function call(
  method: string,
  path: string,
  body: object | undefined,
): Promise<Record<string, unknown>> {
  const headers = { 'content-type': 'application/json', 'idempotency-key': `playground-${Date.now()}` };
  const response = await fetch(path, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status}`);
  return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
}
