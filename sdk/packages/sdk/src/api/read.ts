/** Reads answers of the service. Only what the SDK relies on is checked; everything else is passed on. */
import { isNumber, isRecord, isString } from '../base/store.js';
import type { Item, Order, Product, SignedIn, UserInfo } from './types.js';

/** Returns a reader of one field that holds an object accepted by `valid`. */
export function field<T>(
  name: string,
  valid: (value: unknown) => value is T,
): (body: unknown) => T | undefined {
  return (body) => {
    const value = isRecord(body) ? body[name] : undefined;
    return valid(value) ? value : undefined;
  };
}

export function isUserInfo(value: unknown): value is UserInfo {
  return isRecord(value) && isString(value['_id']);
}

export function isOrder(value: unknown): value is Order {
  return isRecord(value) && isString(value['_id']) && isString(value['status']);
}

export function isProducts(value: unknown): value is Product[] {
  return (
    Array.isArray(value) && value.every((product) => isRecord(product) && isString(product['productId']))
  );
}

export function isItem(value: unknown): value is Item {
  return isRecord(value) && isString(value['productId']) && isNumber(value['quantity']);
}

export function isItems(value: unknown): value is Item[] {
  return Array.isArray(value) && value.every(isItem);
}

export function readSignedIn(body: unknown): SignedIn | undefined {
  if (!isRecord(body)) return undefined;
  const complete =
    isString(body['token']) &&
    isNumber(body['expires']) &&
    isString(body['refreshToken']) &&
    isNumber(body['refreshExpires']) &&
    isString(body['signingKey']) &&
    isUserInfo(body['userInfo']);
  return complete ? (body as unknown as SignedIn) : undefined;
}

/** Accepts any answer, for calls whose result is only that they succeeded. */
export function readNothing(): true {
  return true;
}
