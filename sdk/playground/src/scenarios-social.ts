/** Scenarios of sessions, sharing, scores, messages and events. */
import { TEMPLATE } from './phone-view.js';
import { gift } from './pushes-view.js';
import { expect, quantity, within, type Scenario } from './scenario.js';

export const SOCIAL: readonly Scenario[] = [
  {
    id: 'devices',
    title: 'scenarioDevices',
    async run({ alice, tablet }) {
      await alice.signIn();
      let replaced = false;
      const stop = alice.client.onSession(({ type }) => (replaced ||= type === 'replaced'));
      await tablet.signIn();
      await alice.client.payments.inventory().catch(() => undefined);
      stop();
      expect(replaced, 'the first device did not hear of it');
      await alice.signIn();
    },
  },
  {
    id: 'invite',
    title: 'scenarioInvite',
    async run({ alice, bob }) {
      await alice.signIn();
      alice.target = { friend: 'bob' };
      // A service without shares yet still opens the picker, with the game's own query.
      await alice.client.social.share('playground', { title: 'Play with me', query: 'level=3' });
      await within(3000, 'no card was sent', () => alice.phone.sharing.cards.length > 0);
      alice.target = undefined;
      const card = alice.phone.sharing.cards.at(-1);
      if (!card) throw new Error('no card was sent');
      bob.phone.kill();
      bob.connect(bob.phone.open(card));
      let level: string | undefined;
      bob.client.social.onEntry(({ query }) => (level = query['level']));
      await bob.signIn();
      await within(3000, 'the entry was not reported', () => level === '3');
    },
  },
  {
    id: 'reward',
    title: 'scenarioReward',
    async run({ stage, alice, guest }) {
      await alice.signIn();
      const before = await quantity(alice);
      await stage.admin('PUT', '/shares/playground', {
        title: 'Play with me',
        imageUrl: 'https://example.com/card.png',
      });
      const invited = guest();
      alice.target = { friend: invited.phone.player.name };
      const card = await alice.client.social.share('playground');
      alice.target = undefined;
      expect(card !== undefined, 'the service issued no card');
      await within(3000, 'no card was sent', () => alice.phone.sharing.cards.length > 0);
      const sent = alice.phone.sharing.cards.at(-1);
      if (!sent) throw new Error('no card was sent');
      invited.openCard(sent);
      await invited.signIn();
      // The milestone of `avalon dev`.
      invited.client.events.trackNow('level_5');
      await within(
        20_000,
        'the inviter was not rewarded',
        async () => (await quantity(alice)) === before + 1,
      );
      const { invited: list, rewards } = await alice.client.social.invites();
      expect(list.length > 0, 'the invitation is not listed');
      expect(rewards.length > 0, 'the reward is not listed');
    },
  },
  {
    id: 'ranking',
    title: 'scenarioRanking',
    async run({ stage, alice, bob }) {
      stage.world.befriend('alice', 'bob');
      for (const [phone, score] of [
        [alice, 16],
        [bob, 23],
      ] as const) {
        phone.phone.consents.decided.set('scope.WxFriendInteraction', true);
        const value = JSON.stringify({ wxgame: { score, update_time: 1 } });
        await phone.phone.game?.wx.setUserCloudStorage({ KVDataList: [{ key: 'score', value }] });
      }
      alice.showRanking();
      await new Promise((resolve) => setTimeout(resolve, 600));
    },
  },
  {
    id: 'leaderboard',
    title: 'scenarioLeaderboard',
    needs: '/api/wx/leaderboard/{board}',
    async run({ alice, bob }) {
      await alice.signIn();
      await bob.signIn();
      const score = Math.floor(Date.now() / 1000);
      await alice.client.scores.score('score', score);
      await bob.client.scores.score('score', score + 1);
      await within(5000, 'the scores are not ranked', async () => {
        const { entries, me } = await alice.client.scores.leaderboard('score', { around: 'me', limit: 10 });
        const best = entries.find((entry) => entry.score === score + 1);
        return me?.score === score && best?.rank === me.rank - 1;
      });
    },
  },
  {
    id: 'season',
    title: 'scenarioSeason',
    needs: '/api/wx/leaderboard/{board}',
    async run({ stage, alice }) {
      await alice.signIn();
      const before = await quantity(alice);
      const now = Date.now();
      const time = (offset: number): string => new Date(now + offset).toISOString();
      const board = `season-${now}`;
      await stage.admin('PUT', `/boards/${board}`, {
        window: 'season',
        seasons: [{ name: 's1', from: time(-1000), to: time(4000) }],
        grace: '0s',
        prizes: [{ to: 1, items: [{ productId: 'gems-60', quantity: 5 }] }],
      });
      await within(3000, 'the score was not accepted', async () => {
        const result = await alice.client.scores.score(board, 7).catch(() => undefined);
        return result?.accepted === true;
      });
      await within(50_000, 'the prize did not arrive', async () => (await quantity(alice)) === before + 5);
    },
  },
  {
    id: 'gift',
    title: 'scenarioGift',
    needs: '/api/wx/subscriptions',
    async run({ stage, alice }) {
      await alice.signIn();
      const before = await quantity(alice);
      await stage.sim('PUT', '/vpay/push-settings', { copies: 3 });
      try {
        await gift(stage, stage.openid('alice'));
      } finally {
        await stage.sim('PUT', '/vpay/push-settings', { copies: 1 });
      }
      await within(10_000, 'the gift did not arrive', async () => (await quantity(alice)) > before);
      expect((await quantity(alice)) === before + 2, 'the gift was granted more than once');
    },
  },
  {
    id: 'subscription',
    title: 'scenarioSubscription',
    needs: '/api/wx/subscriptions',
    async run({ stage, alice }) {
      await alice.signIn();
      const openId = stage.openid('alice');
      const received = async (): Promise<number> => {
        const { sent } = await stage.sim('GET', `/players/${openId}/subscriptions`);
        return (sent as unknown[]).length;
      };
      const before = await received();
      alice.panel = 'accept';
      const answers = await alice.client.social.subscribe([TEMPLATE]);
      alice.panel = undefined;
      expect(answers[TEMPLATE] === 'accept', 'the panel was refused');
      await new Promise((resolve) => setTimeout(resolve, 500));
      const message = { openId, templateId: TEMPLATE, data: { thing1: 'Energy' } };
      await stage.internal('POST', '/messages', message);
      await within(10_000, 'no message was received', async () => (await received()) === before + 1);
    },
  },
  {
    id: 'offline',
    title: 'scenarioOffline',
    async run({ alice }) {
      await alice.signIn();
      await alice.client.events.flush();
      alice.phone.network.type = 'none';
      for (let index = 0; index < 25; index++) alice.client.events.track('playground_offline', { index });
      expect(alice.client.events.stats().queued >= 25, 'events were lost');
      alice.restart();
      alice.phone.network.type = 'wifi';
      await within(10_000, 'events were not sent', async () => {
        await alice.client.events.flush();
        return alice.client.events.stats().queued === 0;
      });
    },
  },
];
