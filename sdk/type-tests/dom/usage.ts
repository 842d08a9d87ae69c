// The declarations compile beside those of browsers and Node.
import { createClient } from '@avalon-wx/sdk';
import { World } from '@avalon-wx/wx-stand-in';
import { nodeRealm } from '@avalon-wx/wx-stand-in/node';
import { frameRealm } from '@avalon-wx/wx-stand-in/browser';

const game = new World().phone({ player: 'alice' }).launch();
export const client = createClient({ baseUrl: 'https://wx.example.com', host: game.host });
export const realms = [nodeRealm, frameRealm];
export const width: number = window.innerWidth + process.argv.length;
