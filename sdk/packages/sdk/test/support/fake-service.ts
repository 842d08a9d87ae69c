/** The service in memory, as far as the SDK sees it. State is public, so that tests can arrange and look. */
import type { NetworkRequest, NetworkResponse, Transport } from '@avalon-wx/wx-stand-in';

export interface FakeOrder {
  _id: string;
  key: string;
  productId: string;
  quantity: number;
  status: string;
  /** How many keys of the session signed its parameters. */
  signed: number;
}

interface FakeSession {
  player: string;
  refreshToken: string;
  deviceId: string;
}

type Reply = { status: number; body?: unknown; header?: { [name: string]: string } };

/** Answers instead of the service; undefined leaves the request to it. */
export type Override = (request: NetworkRequest, path: string) => Reply | undefined;

const INVITED = { state: 'rewarded', at: '2026-01-01T00:00:00.000Z' };
const REWARD = {
  source: 'invite',
  items: [{ productId: 'gems', quantity: 1 }],
  at: '2026-01-01T00:00:00.000Z',
};

export const SIGNING_KEY = 'BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=';

export class FakeService {
  readonly sessions = new Map<string, FakeSession>();
  readonly orders: FakeOrder[] = [];
  /** Events by id; an event that arrives twice is stored once. */
  readonly events = new Map<
    string,
    { eventName: string; eventParams: Record<string, unknown>; sessionId: string }
  >();
  readonly rejectNames = new Set<string>();
  readonly scores: { board: string; score: number }[] = [];
  readonly tracked: { shareId: string; event: string }[] = [];
  readonly requests: {
    path: string;
    method: string;
    header: Readonly<Record<string, string>>;
    body: string;
  }[] = [];
  override: Override = () => undefined;
  /** The channel of new orders; undefined leaves `payParams` without one, as an older service does. */
  channel: string | undefined = 'virtual_payment';
  tokenLife = 7200_000;
  signIns = 0;
  refreshes = 0;
  private serial = 0;

  constructor(private readonly now: () => number) {}

  readonly transport: Transport = (request) => Promise.resolve(this.answer(request));

  pay(orderId: string): void {
    const order = this.orders.find(({ _id }) => _id === orderId);
    if (order && (order.status === 'pending' || order.status === 'closed')) order.status = 'paid';
  }

  /** Ends all sessions with `SESSION_REPLACED`. */
  replaced = new Set<string>();

  count(path: string): number {
    return this.requests.filter((request) => request.path.split('?')[0] === path).length;
  }

  private answer(request: NetworkRequest): NetworkResponse {
    const path = request.url.replace(/^https?:\/\/[^/]+/, '');
    const body = typeof request.body === 'string' ? request.body : '';
    this.requests.push({ path, method: request.method, header: request.header, body });
    const reply = this.override(request, path) ?? this.route(request, path, body);
    const header = {
      date: new Date(this.now()).toUTCString(),
      'x-request-id': `r-${this.requests.length}`,
      ...reply.header,
    };
    return {
      statusCode: reply.status,
      header,
      body: reply.body === undefined ? '' : JSON.stringify(reply.body),
    };
  }

  private route(request: NetworkRequest, path: string, text: string): Reply {
    const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
    const [route = ''] = path.split('?');
    if (route === '/api/wx/login') return this.login(String(body['code']), String(body['deviceId']));
    if (route === '/api/wx/refreshToken') return this.refresh(String(body['refreshToken']));
    if (route === '/api/wx/products')
      return ok({ products: [{ productId: 'gems', name: 'Gems', price: 600, active: true }] });
    const token = (request.header['authorization'] || '').replace('Bearer ', '');
    const session = this.sessions.get(token);
    if (this.replaced.has(token)) return problem(401, 'SESSION_REPLACED');
    if (!session) return problem(401, 'UNAUTHENTICATED');
    if (Number(token.split('.')[2]) <= this.now()) return problem(401, 'TOKEN_EXPIRED');
    return this.authenticated(request, route, body, token);
  }

  private authenticated(
    request: NetworkRequest,
    route: string,
    body: Record<string, unknown>,
    token: string,
  ): Reply {
    const id = decodeURIComponent(route.split('/').pop() || '');
    if (route === '/api/wx/report') return this.report(body);
    if (route === '/api/wx/createOrder') return this.create(request.header['idempotency-key'] || '', body);
    if (route.startsWith('/api/wx/getOrder/')) return this.order(id);
    if (route.startsWith('/api/wx/cancelOrder/')) return this.cancel(id);
    if (route === '/api/wx/userInfo') return ok({ userInfo: { _id: 'u1' } });
    if (route === '/api/wx/updateUserInfo')
      return ok({ success: true, userInfo: { _id: 'u1', nickname: 'Ann' } });
    if (route === '/api/wx/inventory') return ok({ items: [{ productId: 'gems', quantity: 2 }] });
    if (route === '/api/wx/consume') return ok({ item: { productId: body['productId'], quantity: 1 } });
    if (route === '/api/wx/coins')
      return ok({ balance: 70, granted: 10, asOf: '2026-01-01T00:00:00.000Z', stale: false });
    if (route === '/api/wx/share') return this.share(String(body['scene']));
    if (route === '/api/wx/share/track') {
      this.tracked.push(body as never);
      return ok({ success: true });
    }
    if (route === '/api/wx/share/group')
      return ok({ openGId: JSON.parse(String(body['encryptedData'])).openGId });
    if (route === '/api/wx/subscriptions') return ok({ subscriptions: [] });
    if (route === '/api/wx/invites')
      return ok({ inviteCode: 'code-1', invited: [INVITED], rewards: [REWARD] });
    if (route === '/api/wx/rewards') return ok({ rewards: [REWARD], nextCursor: null });
    if (route === '/api/wx/score') {
      this.scores.push({ board: String(body['board']), score: Number(body['score']) });
      return ok({ accepted: true, best: body['score'], rank: 1 });
    }
    if (route === '/api/wx/score/run') return ok({ runId: 'run-1', expires: this.now() + 60_000 });
    if (route.startsWith('/api/wx/leaderboard/')) {
      return ok({
        board: id,
        window: 'all',
        entries: [{ rank: 1, userId: 'u1', score: 9 }],
        me: null,
        nextCursor: null,
      });
    }
    if (route === '/api/wx/logout') {
      this.sessions.delete(token);
      return { status: 204 };
    }
    return problem(404, 'NOT_FOUND');
  }

  private login(code: string, deviceId: string): Reply {
    this.signIns += 1;
    return this.session(code.replace('sim-', ''), deviceId);
  }

  private refresh(refreshToken: string): Reply {
    for (const [token, session] of this.sessions) {
      if (session.refreshToken === refreshToken) {
        this.refreshes += 1;
        if (this.replaced.has(token)) return problem(401, 'SESSION_REPLACED');
        return this.session(session.player, session.deviceId);
      }
    }
    return problem(401, 'REFRESH_TOKEN_REUSED');
  }

  private session(player: string, deviceId: string): Reply {
    const expires = this.now() + this.tokenLife;
    const token = `t.${++this.serial}.${expires}`;
    const refreshToken = `r.${this.serial}`;
    this.sessions.set(token, { player, refreshToken, deviceId });
    return ok({
      token,
      expires,
      refreshToken,
      refreshExpires: this.now() + 30 * 86400_000,
      signingKey: SIGNING_KEY,
      userInfo: {
        _id: `user-${player}`,
        openId: `openid-${player}`,
        createdAt: '',
        updatedAt: '',
        lastLoginAt: '',
      },
    });
  }

  private create(key: string, body: Record<string, unknown>): Reply {
    let order = this.orders.find((known) => known.key === key);
    if (!order) {
      const id = `order-${this.orders.length + 1}`;
      order = {
        _id: id,
        key,
        productId: String(body['productId']),
        quantity: Number(body['quantity']),
        status: 'pending',
        signed: 0,
      };
      this.orders.push(order);
    }
    if (order.status !== 'pending') return problem(409, 'ORDER_STATE', { orderId: order._id });
    order.signed += 1;
    if (body['payWith'] === 'coins') {
      order.status = 'paid';
      return ok({ orderId: order._id });
    }
    return ok({ orderId: order._id, payParams: this.payParams(order) });
  }

  private payParams(order: FakeOrder): object {
    const channel = this.channel === undefined ? {} : { channel: this.channel };
    if (this.channel !== 'virtual_payment') {
      return {
        ...channel,
        timeStamp: '1',
        nonceStr: 'n',
        package: `prepay_id=${order._id}`,
        signType: 'RSA',
        paySign: 's',
      };
    }
    const data = {
      mode: 'goods',
      offerId: '1450',
      buyQuantity: order.quantity,
      env: 0,
      currencyType: 'CNY',
      zoneId: '1',
      productId: order.productId,
      goodsPrice: 600,
      outTradeNo: order._id,
    };
    return {
      ...channel,
      mode: 'goods',
      signData: JSON.stringify(data),
      paySig: `p${order.signed}`,
      signature: `s${order.signed}`,
    };
  }

  private order(id: string): Reply {
    const order = this.orders.find(({ _id }) => _id === id);
    return order ? ok({ order }) : problem(404, 'ORDER_NOT_FOUND');
  }

  private cancel(id: string): Reply {
    const order = this.orders.find(({ _id }) => _id === id);
    if (!order) return problem(404, 'ORDER_NOT_FOUND');
    if (order.status === 'paid') return problem(409, 'ORDER_STATE', { orderId: id });
    order.status = 'closed';
    return ok({ order });
  }

  private share(scene: string): Reply {
    const shareId = `share-${++this.serial}`;
    const query = `shareId=${shareId}&inviteCode=code-1`;
    return ok({
      shareId,
      inviteCode: 'code-1',
      query,
      title: `Title of ${scene}`,
      imageUrl: 'https://img/1.png',
    });
  }

  private report(body: Record<string, unknown>): Reply {
    const events = body['events'] as {
      eventId: string;
      eventName: string;
      eventParams: Record<string, unknown>;
      sessionId: string;
    }[];
    const rejected: { index: number; code: string }[] = [];
    events.forEach((event, index) => {
      if (this.rejectNames.has(event.eventName)) rejected.push({ index, code: 'EVENT_NAME_INVALID' });
      else this.events.set(event.eventId, event);
    });
    return ok({ success: true, accepted: events.length - rejected.length, rejected });
  }
}

export function ok(body: unknown): Reply {
  return { status: 200, body };
}

/** Returns a problem document. */
export function problem(status: number, code: string, fields: object = {}): Reply {
  const retryable = status === 429 || status === 503;
  const header = retryable ? { 'retry-after': '1' } : {};
  return {
    status,
    header,
    body: { status, code, detail: `detail of ${code}`, retryable, requestId: 'r-1', ...fields },
  };
}
