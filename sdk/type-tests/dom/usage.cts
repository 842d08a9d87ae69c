// CommonJS in TypeScript.
import context = require('@avalon-wx/open-data-context');
import sdk = require('@avalon-wx/sdk');

export const client: sdk.Client = sdk.createClient({ baseUrl: 'https://wx.example.com' });
export const start: () => void = context.start;
