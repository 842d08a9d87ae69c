// The ranking of friends, drawn by the package.
require('./lib/open-data-context.js').start();
