/** Creates elements. */

type Properties<K extends keyof HTMLElementTagNameMap> = Partial<Omit<HTMLElementTagNameMap[K], 'style'>> & {
  readonly data?: Readonly<Record<string, string>>;
};

/** Returns an element with properties, `data-` attributes and children. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties<K> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const { data, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  Object.assign(element.dataset, data);
  element.append(...children);
  return element;
}

export function button(label: string, action: string, run: () => unknown): HTMLButtonElement {
  const element = el('button', { type: 'button', data: { action } }, label);
  element.addEventListener('click', () => void run());
  return element;
}

/** A select with its label. */
export function choice(
  label: string,
  name: string,
  values: readonly string[],
  value: string,
  set: (value: string) => void,
): HTMLElement {
  const select = el(
    'select',
    { data: { choice: name } },
    ...values.map((text) => el('option', { value: text }, text)),
  );
  select.value = value;
  select.addEventListener('change', () => set(select.value));
  return el('label', {}, `${label} `, select);
}

/** A check box with its label. */
export function toggle(label: string, name: string, set: (on: boolean) => void): HTMLElement {
  const box = el('input', { type: 'checkbox', data: { toggle: name } });
  box.addEventListener('change', () => set(box.checked));
  return el('label', {}, box, ` ${label}`);
}

/** Shows a dialogue with buttons; resolves with the value of the chosen one, with `closed` when it is closed. */
export function ask<T>(
  title: string,
  options: readonly (readonly [label: string, value: T])[],
  closed: T,
  extra?: HTMLElement,
): Promise<T> {
  return new Promise((resolve) => {
    const heading = el('h2', {}, title);
    const dialog = el('dialog', {}, heading);
    dialog.setAttribute('aria-label', title);
    const finish = (value: T): void => {
      dialog.remove();
      resolve(value);
    };
    if (extra) dialog.append(extra);
    dialog.append(
      el(
        'div',
        { className: 'row' },
        ...options.map(([label, value]) => button(label, `dialog-${label}`, () => finish(value))),
      ),
    );
    dialog.addEventListener('close', () => finish(closed));
    document.body.append(dialog);
    dialog.showModal();
  });
}
