/** Fastify validates requests and serialises responses by these. */
const text = (maxLength: number) => ({ type: 'string', minLength: 1, maxLength });
const nullable = { type: 'string', nullable: true };

export const login = {
  body: { type: 'object', required: ['code'], properties: { code: text(128) } },
  response: {
    200: {
      type: 'object',
      properties: {
        token: { type: 'string' },
        expires: { type: 'integer' },
        userInfo: { type: 'object', properties: { _id: { type: 'string' }, openId: { type: 'string' }, unionId: nullable } },
      },
    },
  },
};

const event = {
  type: 'object',
  required: ['eventName'],
  properties: { eventName: text(64), timestamp: { type: 'integer' }, eventParams: { type: 'object', additionalProperties: true } },
};

export const report = {
  body: { type: 'object', required: ['events'], properties: { events: { type: 'array', minItems: 1, maxItems: 500, items: event } } },
  response: { 200: { type: 'object', properties: { success: { type: 'boolean' } } } },
};

export const createOrder = {
  body: {
    type: 'object',
    required: ['productId', 'quantity'],
    properties: { productId: text(32), quantity: { type: 'integer', minimum: 1, maximum: 10000 } },
  },
  response: {
    200: {
      type: 'object',
      properties: { orderId: { type: 'string' }, payParams: { type: 'object', additionalProperties: { type: 'string' } } },
    },
  },
};

export const getOrder = {
  params: { type: 'object', properties: { orderId: text(64) } },
  response: {
    200: {
      type: 'object',
      properties: {
        order: {
          type: 'object',
          properties: {
            _id: { type: 'string' },
            productId: { type: 'string' },
            description: { type: 'string' },
            quantity: { type: 'integer' },
            totalFee: { type: 'integer' },
            status: { type: 'string' },
            transactionId: nullable,
            createdAt: { type: 'string' },
            paidAt: nullable,
          },
        },
      },
    },
  },
};
