/** The service's types that games see. They are derived from the generated schema, which cannot drift. */
import type { components } from './schema.js';

type Schemas = components['schemas'];

/** Optional fields without `null`, which the service never sends. */
type Present<T> = { [K in keyof T]: undefined extends T[K] ? NonNullable<T[K]> | undefined : T[K] };

/** A player. */
export type UserInfo = Present<Schemas['UserInfo']>;
/** An order and its state. */
export type Order = Present<Schemas['Order']>;
/** A product for sale; `price` in fen. */
export type Product = Present<Schemas['Product']>;
/** Items that the player owns. */
export type Item = Present<Schemas['Item']>;
export type OrderStatus = Schemas['OrderStatus'];
/** A payment channel. */
export type Channel = Schemas['Channel'];
export type SignedIn = Schemas['SignedIn'];
/** The codes of the service's errors. */
export type ServiceErrorCode = Schemas['ProblemCode'];
