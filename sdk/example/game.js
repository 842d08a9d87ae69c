// A small game that uses every part of the SDK. `npm run build` copies the SDK into lib/.
const { createClient } = require('./lib/avalon.js');
const buttons = require('./buttons.js');

const BASE_URL = 'http://127.0.0.1:8080';
const RANKING = { x: 12, y: 300, width: 351, height: 360 };

// The first canvas is the screen.
const canvas = wx.createCanvas();
const { windowWidth, windowHeight, pixelRatio } = wx.getSystemInfoSync();
canvas.width = windowWidth * pixelRatio;
canvas.height = windowHeight * pixelRatio;
const ctx = canvas.getContext('2d');

const client = createClient({
  baseUrl: BASE_URL,
  onNeedPrivacyAuthorization: (resolve) => {
    wx.showModal({
      title: 'Privacy',
      content: 'Do you agree to the privacy policy?',
      success: ({ confirm }) => resolve({ event: confirm ? 'agree' : 'disagree' }),
    });
  },
});

let message = 'Welcome';
let ranking;
let score = 0;

function show(text) {
  message = text;
}

const actions = {
  'Buy gems': () =>
    client.payments.pay('gems-60', 1).then((result) => {
      show(`purchase: ${result.status}`);
      return client.payments
        .inventory()
        .then((items) => show(items.map((item) => `${item.productId} × ${item.quantity}`).join()));
    }),
  'Use one': () => client.payments.consume('gems-60', 1).then((item) => show(`left: ${item.quantity}`)),
  'Spend coins': () => client.coins.spend('gems-60', 1).then((result) => show(`coins: ${result.status}`)),
  Score: () => {
    score += 100;
    client.events.track('score', { score });
    return client.scores
      .score('score', score, { keepOffline: true })
      .then((result) => show(result ? `rank ${result.rank}` : 'kept'));
  },
  Share: () => client.social.share('example', { query: `score=${score}` }),
  Ranking: () => {
    ranking = ranking
      ? client.friends.hide()
      : client.friends.show(RANKING, { key: 'score', own: score, title: 'Friends' });
    return Promise.resolve();
  },
  Remind: () => client.social.subscribe(['TEMPLATE_ID']).then((answers) => show(JSON.stringify(answers))),
  'Sign in': () => client.login({ byPlayer: true }).then((user) => show(user.nickname || user._id)),
};
const placed = buttons.layout(Object.keys(actions), windowWidth, 60);

wx.onTouchEnd(({ changedTouches: [{ pageX, pageY }] }) => {
  const label = buttons.hit(placed, pageX, pageY);
  if (label) actions[label]().catch((error) => show(`${label}: ${error.code}`));
});

client.onSession(({ type }) => show(type));
client.payments.onOrder((order) => show(`order ${order.status}`));
client.social.onEntry(({ query }) => query.score && show(`Beat ${query.score}!`));
client.social.enableShareMenu('example', () => ({ query: `score=${score}` }));
client.login().catch((error) => show(error.code));

function frame() {
  ctx.setTransform(pixelRatio, 0, 0, pixelRatio, 0, 0);
  ctx.fillStyle = '#f4f5f7';
  ctx.fillRect(0, 0, windowWidth, windowHeight);
  ctx.fillStyle = '#1d2129';
  ctx.textAlign = 'left';
  ctx.font = '16px sans-serif';
  ctx.fillText(message, 12, 40);
  buttons.draw(ctx, placed);
  if (ranking) ctx.drawImage(ranking.canvas, RANKING.x, RANKING.y, RANKING.width, RANKING.height);
  requestAnimationFrame(frame);
}
frame();
