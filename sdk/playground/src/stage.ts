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

/** The chat group of all players. */
export const GROUP = 'tPlaygroundGroup';

/** A request of a game with its answer. */
export interface LoggedRequest {
  readonly request: NetworkRequest;
  readonly status: number;
}

/** A job that a phone waits for, at each change. */
export interface FollowedJob {
  readonly jobId: string;
  readonly kind: string;
  readonly status: string;
}

export class Stage {
  readonly world: World;
  /** Hears of every answered request. */
  onRequest: (logged: LoggedRequest) => void = () => undefined;
  /** Hears of the jobs of answers that come later. */
  onJob: (job: FollowedJob) => void = () => undefined;
  /** Whether the service is asked to answer at once, with the address of the job (202). */
  answerLater = false;

  constructor() {
    const send = fetchTransport((url) => url.replace(GAME_ORIGIN, location.origin));
    const logged: Transport = async (original) => {
      const header = this.answerLater ? { ...original.header, prefer: 'respond-async' } : original.header;
      const request = { ...original, header };
      const response = await send(request);
      this.onRequest({ request, status: response.statusCode });
      const { location } = response.header;
      if (response.statusCode === 202 && location !== undefined)
        void this.follow(location, header['authorization']).catch(() => undefined);
      return response;
    };
    this.world = new World({
      transport: logged,
      platform: simulatorPlatform(location.origin + PLAYGROUND, APP_ID, fetchTransport()),
    });
  }

  /** WeChat's id of a player, known once the player has signed in. */
  openid(player: string): string {
    return this.world.platform.openid(player);
  }

  /** Adds a phone with the real open data context. */
  addPhone(player: string, source: string) {
    const realm = frameRealm({ source, document });
    const phone = this.world.phone({ player, appId: APP_ID, realm });
    phone.settings.screen = { width: 320, height: 480, pixelRatio: 2 };
    return phone;
  }

  /** Reads the events of a job until it has finished. */
  private async follow(address: string, authorization: string | undefined): Promise<void> {
    const [path, query] = address.split('?');
    const response = await fetch(`${path}/events${query === undefined ? '' : `?${query}`}`, {
      headers: authorization === undefined ? {} : { authorization },
    });
    let text = '';
    const decoder = new TextDecoder();
    for (const reader = response.body?.getReader(); reader;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += decoder.decode(value, { stream: true });
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      for (const line of lines)
        if (line.startsWith('data:')) this.onJob(JSON.parse(line.slice(5)) as FollowedJob);
    }
  }

  /** Calls a control route of the simulator. */
  sim(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
    return call(method, `${PLAYGROUND}/_sim${path}`, body);
  }

  /** Calls a route for the game's own servers; `avalon dev` adds the token. */
  internal(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
    return call(method, `${PLAYGROUND}/internal${path}`, body);
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
