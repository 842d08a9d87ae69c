// Compiled with `tsc --strict` against the types that openapi-typescript generates from docs/openapi.json: a client
// that signs in, orders and polls, with each operation under its own name.
import createClient from "openapi-fetch";
import type { operations, paths } from "./openapi";

const client = createClient<paths>({ baseUrl: "https://avalon.example.com" });

type Named =
  | "login" | "refreshToken" | "logout" | "getUserInfo" | "updateUserInfo" | "getShareGroup" | "listProducts"
  | "createOrder" | "getOrder" | "listOrders" | "cancelOrder" | "listInventory" | "consumeItem" | "reportEvents"
  | "getJob" | "streamJob" | "getJwks" | "notifyPayment" | "notifyRefund";
type Missing = Exclude<Named, keyof operations>;
const missing: [Missing] extends [never] ? true : Missing = true;

export async function buy(code: string, productId: string): Promise<string> {
  const { data, error } = await client.POST("/api/wx/login", { body: { code } });
  if (error || !("token" in data)) throw new Error(`not signed in: ${JSON.stringify(error)}`);
  const ordered = await client.POST("/api/wx/createOrder", {
    params: { header: { "Idempotency-Key": "1" } },
    headers: { authorization: `Bearer ${data.token}` },
    body: { productId, quantity: 1 },
  });
  if (ordered.error) throw new Error(`${ordered.error.code}: ${ordered.error.detail}`);
  return "orderId" in ordered.data ? ordered.data.orderId : ordered.data.jobId;
}

export async function products(): Promise<string[]> {
  const { data } = await client.GET("/api/wx/products");
  return missing ? (data?.products ?? []).map((product) => product.productId) : [];
}
