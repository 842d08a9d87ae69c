/** Reads answers of the service. Only what the SDK relies on is checked; everything else is passed on. */
import { isNumber, isRecord, isString } from '../base/store.js';
import type { Item, Order, Product, SignedIn, UserInfo } from './types.js';

/** A JSON object. */
export type Body = { readonly [key: string]: unknown };

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

/** Returns a reader of whole objects that `valid` accepts. */
export function checked<T>(valid: (body: Body) => boolean): (body: unknown) => T | undefined {
  return (body) => (isRecord(body) && valid(body) ? (body as unknown as T) : undefined);
}

/** Whether the value is an object whose fields of these names are texts. */
export function texts(value: unknown, ...names: string[]): value is Body {
  return isRecord(value) && names.every((name) => isString(value[name]));
}

/** Whether the value is an object whose fields of these names are numbers. */
export function numbers(value: unknown, ...names: string[]): value is Body {
  return isRecord(value) && names.every((name) => isNumber(value[name]));
}

/** Whether the value is a list of what `valid` accepts. */
export function listOf<T>(value: unknown, valid: (entry: unknown) => entry is T): value is T[] {
  return Array.isArray(value) && value.every(valid);
}

export function isUserInfo(value: unknown): value is UserInfo {
  return texts(value, '_id');
}

export function isOrder(value: unknown): value is Order {
  return texts(value, '_id', 'status');
}

export function isProducts(value: unknown): value is Product[] {
  return listOf(value, (product): product is Product => texts(product, 'productId'));
}

export function isItem(value: unknown): value is Item {
  return texts(value, 'productId') && numbers(value, 'quantity');
}

export function isItems(value: unknown): value is Item[] {
  return listOf(value, isItem);
}

export const readSignedIn = checked<SignedIn>(
  (body) =>
    texts(body, 'token', 'refreshToken', 'signingKey') &&
    numbers(body, 'expires', 'refreshExpires') &&
    isUserInfo(body['userInfo']),
);

/** Accepts any answer, for calls whose result is only that they succeeded. */
export function readNothing(): true {
  return true;
}
