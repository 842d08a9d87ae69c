/** Colours. */

export interface Theme {
  readonly background: string;
  readonly row: string;
  readonly own: string;
  readonly text: string;
  readonly muted: string;
  readonly score: string;
  readonly placeholder: string;
  readonly gold: string;
  readonly silver: string;
  readonly bronze: string;
  readonly medalText: string;
}

const LIGHT: Theme = {
  background: '#ffffff',
  row: '#f4f5f7',
  own: '#fff3d6',
  text: '#1d2129',
  muted: '#5f6672',
  score: '#1d2129',
  placeholder: '#c9ced6',
  gold: '#e0a100',
  silver: '#8e99a8',
  bronze: '#b0713a',
  medalText: '#ffffff',
};

const DARK: Theme = {
  background: '#17191e',
  row: '#22252c',
  own: '#3d3420',
  text: '#f2f3f5',
  muted: '#a3aab5',
  score: '#f2f3f5',
  placeholder: '#4a505b',
  gold: '#d09a10',
  silver: '#7f8a99',
  bronze: '#a0683a',
  medalText: '#ffffff',
};

/** Returns the named theme with the colours of a JSON object; a wrong one is ignored. */
export function themeOf(name: 'light' | 'dark', colors: string): Theme {
  const theme: { [name: string]: string } = { ...(name === 'dark' ? DARK : LIGHT) };
  try {
    const own = (colors === '' ? {} : JSON.parse(colors)) as { [name: string]: unknown };
    for (const key of Object.keys(own))
      if (key in theme && typeof own[key] === 'string') theme[key] = own[key] as string;
  } catch {
    // The named theme stays.
  }
  return theme as unknown as Theme;
}
