/** The jobs that the API and the worker exchange. */
export const LOGIN = 'login';
export const CALLBACK = 'callback';
export const REPORT = 'report';
export const ORDER = 'order';

export interface LoginJob {
  code: string;
}
export interface SignedIn {
  token: string;
  expires: number;
  userInfo: { _id: string; openId: string; unionId: string | null };
}

export interface CallbackJob {
  timestamp: string;
  nonce: string;
  serial: string;
  signature: string;
  body: string;
  receivedAt: number;
}

export interface ReportedEvent {
  eventName: string;
  timestamp?: number;
  eventParams?: Record<string, unknown>;
}
export interface ReportJob {
  batchId: string;
  openId: string;
  receivedAt: number;
  events: ReportedEvent[];
}

export interface OrderJob {
  openId: string;
  productId: string;
  quantity: number;
  idempotencyKey: string;
}
export interface OrderCreated {
  orderId: string;
  payParams: Record<string, string>;
}
