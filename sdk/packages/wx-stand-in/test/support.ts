import { VirtualClock, World, type Game, type PhoneOptions, type Transport } from '../src/index.js';

/** A phone with a running game, and a server that answers everything with `{}`. */
export function setUp(options: Partial<PhoneOptions> = {}, transport: Transport = answerEverything) {
  const clock = new VirtualClock();
  const world = new World({ clock, transport });
  const phone = world.phone({ player: 'alice', ...options });
  const game: Game = phone.launch();
  return { clock, world, phone, game, wx: game.wx };
}

const answerEverything: Transport = () => Promise.resolve({ statusCode: 200, header: {}, body: '{}' });

/** Calls a function of `wx` and resolves with its result or its failure. */
export function call<O extends object>(
  run: (options: O) => unknown,
  options: object = {},
): Promise<{ errMsg: string; errCode?: number } & Record<string, unknown>> {
  return new Promise((resolve) => {
    const settle = (value: unknown): void => resolve(value as never);
    run({ ...options, success: settle, fail: settle } as unknown as O);
  });
}
