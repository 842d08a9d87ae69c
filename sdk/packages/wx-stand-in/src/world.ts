/**
 * What all phones share: players, their friends and groups, the data that WeChat hosts for rankings, and the platform
 * behind them. A `Platform` issues sign-in codes and takes payments; the local one needs no server.
 */
import { realClock, type Clock } from './clock.js';
import { localPlatform, type Platform } from './platform.js';
import { Phone, type PhoneOptions } from './phone.js';
import { fetchTransport, type Transport } from './network.js';

/** A value that a game stores at WeChat for a ranking. */
export interface HostedValue {
  readonly key: string;
  readonly value: string;
}

/** A player of the world. */
export interface Player {
  readonly name: string;
  readonly openid: string;
  nickname: string;
  avatarUrl: string;
  /** Names of the players who are friends. */
  readonly friends: Set<string>;
  /** Values by key. Empty for a player who never stored one. */
  readonly hosted: Map<string, string>;
}

/** A chat group. */
export interface Group {
  readonly id: string;
  readonly members: Set<string>;
}

export interface WorldOptions {
  readonly clock?: Clock;
  readonly transport?: Transport;
  readonly platform?: Platform;
}

/** All phones, players and groups of one test or demonstration. */
export class World {
  readonly clock: Clock;
  readonly transport: Transport;
  readonly platform: Platform;
  readonly players = new Map<string, Player>();
  readonly groups = new Map<string, Group>();
  private tickets = 0;
  private readonly ticketGroups = new Map<string, string>();

  constructor(options: WorldOptions = {}) {
    this.clock = options.clock || realClock();
    this.transport = options.transport || fetchTransport();
    this.platform = options.platform || localPlatform();
  }

  /** Returns the player of this name, creating it on first use. */
  player(name: string): Player {
    let player = this.players.get(name);
    if (!player) {
      const { platform } = this;
      player = {
        name,
        // A simulator issues it with the first sign-in code.
        get openid() {
          return platform.openid(name);
        },
        nickname: name,
        avatarUrl: '',
        friends: new Set(),
        hosted: new Map(),
      };
      this.players.set(name, player);
    }
    return player;
  }

  /** Makes two players friends of each other. */
  befriend(a: string, b: string): void {
    this.player(a).friends.add(b);
    this.player(b).friends.add(a);
  }

  /** Creates or extends a group. */
  group(id: string, members: string[]): Group {
    const group = this.groups.get(id) || { id, members: new Set<string>() };
    for (const member of members) group.members.add(this.player(member).name);
    this.groups.set(id, group);
    return group;
  }

  /** Issues a share ticket for a group, as a card opened in that group carries. */
  ticket(groupId: string): string {
    const ticket = `ticket-${++this.tickets}`;
    this.ticketGroups.set(ticket, groupId);
    return ticket;
  }

  /** Returns the group of a share ticket. */
  groupOf(ticket: string): Group | undefined {
    const id = this.ticketGroups.get(ticket);
    return id === undefined ? undefined : this.groups.get(id);
  }

  /** Adds a phone to the world. */
  phone(options: PhoneOptions): Phone {
    return new Phone(this, options);
  }
}
