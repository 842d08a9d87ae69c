/** One ranking on the shared canvas: loads, scrolls, and draws when something changed. */
import { load, type State } from './data.js';
import { draw, layout, type Scene } from './draw.js';
import { Images } from './images.js';
import { labelsOf } from './labels.js';
import type { ShowMessage } from './protocol.js';
import { Scroll } from './scroll.js';
import { themeOf } from './theme.js';
import type { Context2d, ContextHost, Touch, TouchEvent } from './wx.js';

export class View {
  private readonly images: Images;
  private readonly scroll = new Scroll();
  private message: ShowMessage | undefined;
  private state: State = { kind: 'loading' };
  private finger: number | undefined;
  private scheduled = false;
  private drawnAt = 0;

  constructor(private readonly host: ContextHost) {
    const { wx } = host;
    this.images = new Images(wx, () => this.dirty());
    wx.onTouchStart((event) => this.touchStart(event));
    wx.onTouchMove((event) => this.touchMove(event));
    wx.onTouchEnd((event) => this.touchEnd(event));
    wx.onTouchCancel((event) => this.touchEnd(event));
  }

  show(message: ShowMessage): void {
    const same =
      this.message !== undefined && this.message.key === message.key && this.message.kind === message.kind;
    this.message = message;
    if (!same) {
      this.state = { kind: 'loading' };
      this.scroll.reset();
    }
    this.dirty();
    load(this.host.wx, message, (state) => {
      // A later message, or `hide`, has made this answer pointless.
      if (this.message !== message) return;
      this.state = state;
      this.dirty();
    });
  }

  hide(): void {
    if (!this.message) return;
    this.message = undefined;
    const { canvas, ctx } = this.context();
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.clearRect(0, 0, canvas.width, canvas.height);
  }

  private dirty(): void {
    if (this.scheduled || !this.message) return;
    this.scheduled = true;
    this.host.requestFrame(() => this.frame());
  }

  private frame(): void {
    this.scheduled = false;
    const message = this.message;
    if (!message) return;
    const scene = this.scene(message);
    const { top, bottom, content } = layout(scene);
    this.scroll.setMax(content - (bottom - top));
    const now = this.host.now();
    const moving = this.scroll.step(Math.min(50, Math.max(1, now - this.drawnAt)));
    this.drawnAt = now;
    const { canvas, ctx } = this.context();
    ctx.setTransform(canvas.width / message.width, 0, 0, canvas.height / message.height, 0, 0);
    draw(ctx, Object.assign({}, scene, { offset: this.scroll.offset }), this.images);
    if (moving) this.dirty();
  }

  private scene(message: ShowMessage): Scene {
    const { width, height, title, unit, theme, colors, language } = message;
    return {
      width,
      height,
      title,
      unit,
      state: this.state,
      theme: themeOf(theme, colors),
      labels: labelsOf(language),
      offset: this.scroll.offset,
    };
  }

  private context(): { canvas: { readonly width: number; readonly height: number }; ctx: Context2d } {
    const canvas = this.host.wx.getSharedCanvas();
    return { canvas, ctx: canvas.getContext('2d') as Context2d };
  }

  private touchStart({ changedTouches, timeStamp }: TouchEvent): void {
    const touch = changedTouches[0];
    if (!touch || !this.message || this.finger !== undefined || !inside(touch, this.message)) return;
    this.finger = touch.identifier;
    this.scroll.start(touch.pageY, timeStamp);
  }

  private touchMove({ changedTouches, timeStamp }: TouchEvent): void {
    const touch = changedTouches.filter(({ identifier }) => identifier === this.finger)[0];
    if (touch && this.scroll.move(touch.pageY, timeStamp)) this.dirty();
  }

  private touchEnd({ changedTouches, timeStamp }: TouchEvent): void {
    if (!changedTouches.some(({ identifier }) => identifier === this.finger)) return;
    this.finger = undefined;
    this.scroll.end(timeStamp);
    this.drawnAt = this.host.now();
    this.dirty();
  }
}

function inside({ pageX, pageY }: Touch, { x, y, width, height }: ShowMessage): boolean {
  return pageX >= x && pageX <= x + width && pageY >= y && pageY <= y + height;
}
