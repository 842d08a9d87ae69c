import type { ShowMessage } from '../src/protocol.js';

/** A complete message. */
export const SHOW: ShowMessage = {
  avalon: 1,
  type: 'show',
  kind: 'friends',
  key: 'score',
  x: 20,
  y: 100,
  width: 300,
  height: 400,
  pixelRatio: 2,
  theme: 'light',
  colors: '',
  order: 'desc',
  since: 0,
  unit: '',
  title: '',
  own: '',
  language: 'zh_CN',
  shareTicket: '',
  groupId: '',
};
