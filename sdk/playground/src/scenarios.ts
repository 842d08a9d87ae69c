/** Scenarios: what happens between phones, WeChat and the service, with what has to come out. */
import type { Scenario } from './scenario.js';
import { PAYMENTS } from './scenarios-payments.js';
import { SOCIAL } from './scenarios-social.js';

export const SCENARIOS: readonly Scenario[] = [...PAYMENTS, ...SOCIAL];
