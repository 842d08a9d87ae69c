/** Reads answers of the service. Only what the SDK relies on is checked; everything else is passed on. */
import { isNumber, isRecord, isString } from '../base/values.js';

/** A JSON object. */
export type Body = { readonly [key: string]: unknown };

/** Returns the result of a call, or undefined when the answer has the wrong shape. */
export type Reader<T> = (body: unknown) => T | undefined;

/**
 * Whether the value is an object with these fields: names with spaces between them, of texts, or of numbers with `#` in
 * front of the name. Any object has the fields of an empty text.
 */
export function fits(value: unknown, fields: string): value is Body {
  return (
    isRecord(value) &&
    fields
      .split(' ')
      .every(
        (name) => !name || (name.charAt(0) === '#' ? isNumber(value[name.slice(1)]) : isString(value[name])),
      )
  );
}

/** Whether the value is a list of objects with these fields. */
export function listOf<T>(value: unknown, fields: string): value is T[] {
  return Array.isArray(value) && value.every((entry) => fits(entry, fields));
}

/** Returns a reader of whole objects with these fields, and with a list where `list` names one. */
export function whole<T>(fields: string, list?: string, entries = ''): Reader<T> {
  return (body) =>
    fits(body, fields) && (!list || listOf(body[list], entries)) ? (body as unknown as T) : undefined;
}

/** Returns a reader of one field that holds an object with these fields. */
export function field<T>(name: string, fields: string): Reader<T> {
  return (body) => (isRecord(body) && fits(body[name], fields) ? (body[name] as unknown as T) : undefined);
}

/** Returns a reader of one field that holds a list of objects with these fields. */
export function list<T>(name: string, fields: string): Reader<T[]> {
  return (body) => (isRecord(body) && listOf<T>(body[name], fields) ? body[name] : undefined);
}

/** Accepts any answer, for calls whose result is only that they succeeded. */
export function readNothing(): true {
  return true;
}
