import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setUp } from './support.js';

test('missing_key_reads_as_empty_text', () => {
  const { wx } = setUp();
  assert.equal(wx.getStorageSync('none'), '');
  wx.setStorageSync('a', 1);
  wx.removeStorageSync('a');
  assert.equal(wx.getStorageSync('a'), '');
});

test('values_travel_as_json', () => {
  const { wx } = setUp();
  const value = { list: [1, 'x', null, true], date: new Date(0), gone: undefined };
  wx.setStorageSync('a', value);
  value.list.push(2);
  assert.deepEqual(wx.getStorageSync('a'), { list: [1, 'x', null, true], date: '1970-01-01T00:00:00.000Z' });
});

test('one_key_holds_at_most_1_mb', () => {
  const { wx } = setUp();
  wx.setStorageSync('a', 'x'.repeat(1024 * 1024 - 100));
  assert.throws(() => wx.setStorageSync('b', 'x'.repeat(1024 * 1024)), /entry size limit/);
  assert.throws(() => wx.setStorageSync('b', '漢'.repeat(400 * 1024)), /entry size limit/);
});

test('all_keys_hold_at_most_10_mb', () => {
  const { wx } = setUp();
  const text = 'x'.repeat(1000 * 1024);
  for (let index = 0; index < 10; index++) wx.setStorageSync(`k${index}`, text);
  assert.throws(() => wx.setStorageSync('k10', text), /max size/);
  wx.setStorageSync('k9', text);
  assert.deepEqual(wx.getStorageInfoSync().limitSize, 10 * 1024);
});

test('storage_outlives_the_game', () => {
  const { phone, wx } = setUp();
  wx.setStorageSync('a', 1);
  assert.equal(phone.launch().wx.getStorageSync('a'), 1);
});

test('storage_throws_on_demand', () => {
  const { phone, wx } = setUp();
  phone.storage.fault = (call, key) => {
    if (call === 'set' && key === 'a') throw new Error('disk');
  };
  assert.throws(() => wx.setStorageSync('a', 1), /disk/);
  wx.setStorageSync('b', 1);
  assert.deepEqual(wx.getStorageInfoSync().keys, ['b']);
});

test('damaged_bytes_read_as_text', () => {
  const { phone, wx } = setUp();
  wx.setStorageSync('a', { x: 1 });
  phone.storage.damage('a', (text) => text.slice(0, 5));
  assert.equal(wx.getStorageSync('a'), '{"dat');
});
