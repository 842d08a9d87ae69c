/** Draws a ranking: title, visible rows, and the player's own row at the bottom. Everything is in CSS pixels. */
import type { State } from './data.js';
import type { Images } from './images.js';
import type { Labels } from './labels.js';
import type { Row } from './rows.js';
import { fit } from './text.js';
import type { Theme } from './theme.js';
import type { Context2d } from './wx.js';

export const ROW = 56;
export const GAP = 6;
export const TITLE = 40;
const PAD = 10;
const AVATAR = 40;
const RANK = 40;
const FONT = 'sans-serif';

export interface Scene {
  readonly width: number;
  readonly height: number;
  readonly state: State;
  readonly title: string;
  readonly unit: string;
  readonly theme: Theme;
  readonly labels: Labels;
  readonly offset: number;
}

/** Returns the area of the list, and the height of its rows. */
export function layout({ width, height, title, state }: Scene): {
  top: number;
  bottom: number;
  content: number;
  width: number;
} {
  const rows = state.kind === 'rows' ? state.rows : [];
  const own = rows.some(({ self }) => self);
  const top = title === '' ? PAD : TITLE;
  const bottom = height - (own ? ROW + 2 * PAD : PAD);
  return { top, bottom, content: rows.length * (ROW + GAP) - GAP, width };
}

/** Draws everything. The transform maps CSS pixels to those of the canvas. */
export function draw(ctx: Context2d, scene: Scene, images: Images): void {
  const { width, height, state, theme, labels, title } = scene;
  ctx.clearRect(0, 0, width, height);
  ctx.fillStyle = theme.background;
  ctx.fillRect(0, 0, width, height);
  ctx.textBaseline = 'middle';
  if (title !== '')
    write(ctx, title, width / 2, TITLE / 2, `bold 16px ${FONT}`, theme.text, 'center', width - 2 * PAD);
  if (state.kind !== 'rows') {
    write(
      ctx,
      labels[state.kind],
      width / 2,
      height / 2,
      `15px ${FONT}`,
      theme.muted,
      'center',
      width - 2 * PAD,
    );
    return;
  }
  drawList(ctx, scene, state.rows, images);
  const own = state.rows.filter(({ self }) => self)[0];
  if (own) drawRow(ctx, scene, own, height - ROW - PAD, images);
}

function drawList(ctx: Context2d, scene: Scene, rows: readonly Row[], images: Images): void {
  const { top, bottom } = layout(scene);
  ctx.save();
  ctx.beginPath();
  ctx.rect(0, top, scene.width, bottom - top);
  ctx.clip();
  const first = Math.max(0, Math.floor((scene.offset - ROW) / (ROW + GAP)));
  for (let index = first; index < rows.length; index++) {
    const y = top + index * (ROW + GAP) - scene.offset;
    if (y > bottom) break;
    drawRow(ctx, scene, rows[index] as Row, y, images);
  }
  ctx.restore();
}

function drawRow(ctx: Context2d, scene: Scene, row: Row, y: number, images: Images): void {
  const { width, theme, labels, unit } = scene;
  const middle = y + ROW / 2;
  ctx.fillStyle = row.self ? theme.own : theme.row;
  ctx.fillRect(PAD, y, width - 2 * PAD, ROW);
  drawRank(ctx, theme, row.rank, PAD + RANK / 2 + 4, middle);
  drawAvatar(ctx, theme, images, row.avatarUrl, PAD + RANK + AVATAR / 2 + 8, middle);
  const score = unit === '' ? String(row.score) : `${row.score} ${unit}`;
  ctx.font = `bold 16px ${FONT}`;
  const scoreWidth = Math.min(ctx.measureText(score).width, width / 3);
  write(ctx, score, width - 2 * PAD, middle, ctx.font, theme.score, 'right', width / 3);
  const left = PAD + RANK + AVATAR + 16;
  const room = width - 2 * PAD - scoreWidth - 8 - left;
  write(ctx, row.name || labels.nameless, left, middle, `15px ${FONT}`, theme.text, 'left', room);
}

/** A medal for the first three. */
function drawRank(ctx: Context2d, theme: Theme, rank: number, x: number, y: number): void {
  const medal = [theme.gold, theme.silver, theme.bronze][rank - 1];
  if (medal !== undefined) disc(ctx, x, y, 13, medal);
  const color = medal === undefined ? theme.muted : theme.medalText;
  write(ctx, String(rank), x, y, `bold ${rank > 999 ? 11 : 14}px ${FONT}`, color, 'center', RANK);
}

function drawAvatar(ctx: Context2d, theme: Theme, images: Images, url: string, x: number, y: number): void {
  const image = images.get(url);
  disc(ctx, x, y, AVATAR / 2, theme.placeholder);
  if (!image) return;
  ctx.save();
  ctx.beginPath();
  ctx.arc(x, y, AVATAR / 2, 0, 2 * Math.PI);
  ctx.clip();
  ctx.drawImage(image, x - AVATAR / 2, y - AVATAR / 2, AVATAR, AVATAR);
  ctx.restore();
}

function disc(ctx: Context2d, x: number, y: number, radius: number, color: string): void {
  ctx.fillStyle = color;
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.closePath();
  ctx.fill();
}

function write(
  ctx: Context2d,
  text: string,
  x: number,
  y: number,
  font: string,
  color: string,
  align: string,
  width: number,
): void {
  ctx.font = font;
  ctx.fillStyle = color;
  ctx.textAlign = align;
  ctx.fillText(fit(ctx, text, width), x, y);
}
