// Buttons on a plain canvas.

/** Lays the buttons out in two columns below `top`. */
function layout(labels, width, top) {
  const gap = 12;
  const column = (width - 3 * gap) / 2;
  return labels.map((label, index) => ({
    label,
    x: gap + (index % 2) * (column + gap),
    y: top + Math.floor(index / 2) * 60,
    width: column,
    height: 48,
  }));
}

function draw(ctx, buttons) {
  ctx.textAlign = 'center';
  ctx.textBaseline = 'middle';
  ctx.font = '16px sans-serif';
  for (const { label, x, y, width, height } of buttons) {
    ctx.fillStyle = '#0a5c36';
    ctx.fillRect(x, y, width, height);
    ctx.fillStyle = '#ffffff';
    ctx.fillText(label, x + width / 2, y + height / 2);
  }
}

/** Returns the label of the button at a point, if there is one. */
function hit(buttons, pageX, pageY) {
  const button = buttons.filter(
    ({ x, y, width, height }) => pageX >= x && pageX <= x + width && pageY >= y && pageY <= y + height,
  )[0];
  return button && button.label;
}

module.exports = { draw, hit, layout };
