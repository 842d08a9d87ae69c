import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMessage } from '../src/protocol.js';
import { rank } from '../src/rows.js';
import { Scroll } from '../src/scroll.js';
import { themeOf } from '../src/theme.js';
import { SHOW } from './support.js';

function friend(nickname: string, score: unknown, time = 0, key = 'score') {
  const value = JSON.stringify({ wxgame: { score, update_time: time } });
  return { openid: `o-${nickname}`, nickname, avatarUrl: '', KVDataList: [{ key, value }] };
}

function names(rows: ReturnType<typeof rank>): string[] {
  return rows.map(({ rank: place, name, score, self }) => `${place} ${name} ${score}${self ? ' self' : ''}`);
}

test('equal_scores_share_a_rank_and_the_earlier_is_first', () => {
  const rows = rank(
    [friend('late', 5, 20), friend('best', 9), friend('early', 5, 10), friend('last', 1)],
    undefined,
    SHOW,
  );
  assert.deepEqual(names(rows), ['1 best 9', '2 early 5', '2 late 5', '4 last 1']);
});

test('ascending_boards_begin_with_the_lowest', () => {
  const rows = rank([friend('slow', 90), friend('fast', 30)], undefined, { ...SHOW, order: 'asc' });
  assert.deepEqual(names(rows), ['1 fast 30', '2 slow 90']);
});

test('values_of_other_versions_are_skipped', () => {
  const data = [
    friend('ok', 3),
    friend('text', 'many'),
    friend('null', null),
    friend('other key', 4, 0, 'other'),
    { nickname: 'empty', KVDataList: [] },
    { nickname: 'none' },
    { nickname: 'broken', KVDataList: [{ key: 'score', value: '{"wxgame":' }] },
    { nickname: 'bare', KVDataList: [{ key: 'score', value: '7' }] },
    { nickname: 'nothing', KVDataList: [{ key: 'score', value: 'null' }] },
  ];
  assert.deepEqual(names(rank(data, undefined, SHOW)), ['1 bare 7', '2 ok 3']);
});

test('window_leaves_older_values_out', () => {
  const rows = rank([friend('old', 9, 99), friend('new', 1, 100)], undefined, { ...SHOW, since: 100 });
  assert.deepEqual(names(rows), ['1 new 1']);
});

test('own_row_is_marked_by_openid_or_by_name_and_avatar', () => {
  const data = [friend('Ann', 5), friend('Bob', 4)];
  assert.deepEqual(names(rank(data, { nickName: 'Bob', avatarUrl: '' }, SHOW)), ['1 Ann 5', '2 Bob 4 self']);
  assert.deepEqual(names(rank(data, { openId: 'o-Ann', nickName: 'x' }, SHOW)), ['1 Ann 5 self', '2 Bob 4']);
});

test('own_score_that_wechat_lacks_is_shown', () => {
  const self = { nickName: 'Me', avatarUrl: '' };
  assert.deepEqual(names(rank([friend('Ann', 5)], self, { ...SHOW, own: 7 })), ['1 Me 7 self', '2 Ann 5']);
  assert.deepEqual(names(rank([friend('Me', 3)], self, { ...SHOW, own: 7 })), ['1 Me 7 self']);
  assert.deepEqual(names(rank([friend('Me', 9)], self, { ...SHOW, own: 7 })), ['1 Me 9 self']);
});

test('messages_of_others_and_of_other_versions_are_ignored', () => {
  assert.deepEqual(parseMessage(SHOW), SHOW);
  assert.deepEqual(parseMessage({ avalon: 1, type: 'hide' }), { avalon: 1, type: 'hide' });
  for (const value of [
    null,
    1,
    'show',
    {},
    { type: 'show' },
    { ...SHOW, avalon: 2 },
    { ...SHOW, width: 0 },
    { ...SHOW, x: 'a' },
    { ...SHOW, key: 7 },
  ]) {
    assert.equal(parseMessage(value), undefined);
  }
});

test('theme_object_overrides_known_colours_only', () => {
  const theme = themeOf('dark', JSON.stringify({ own: '#123456', unknown: 'x', text: 7 }));
  assert.equal(theme.own, '#123456');
  assert.equal(theme.text, themeOf('dark', '').text);
  assert.deepEqual(themeOf('light', '{'), themeOf('light', ''));
});

test('scrolling_follows_slows_down_and_rebounds', () => {
  const scroll = new Scroll();
  scroll.setMax(1000);
  scroll.start(300, 0);
  scroll.move(200, 20);
  assert.equal(scroll.offset, 100);
  scroll.end(20);
  let frames = 0;
  while (scroll.step(16) && frames < 1000) frames++;
  assert.ok(scroll.offset > 200 && scroll.offset <= 1000, `inertia: ${scroll.offset}`);
  assert.ok(frames > 5 && frames < 400);
  scroll.start(0, 100);
  scroll.move(5000, 110);
  assert.equal(scroll.offset, -60);
  scroll.end(1000);
  while (scroll.step(16));
  assert.equal(scroll.offset, 0);
  scroll.start(5000, 2000);
  scroll.move(-5000, 2010);
  scroll.end(5000);
  while (scroll.step(16));
  assert.equal(scroll.offset, 1000);
});

test('short_list_does_not_scroll', () => {
  const scroll = new Scroll();
  scroll.setMax(-50);
  scroll.start(100, 0);
  scroll.move(0, 10);
  scroll.end(500);
  while (scroll.step(16));
  assert.equal(scroll.offset, 0);
});
