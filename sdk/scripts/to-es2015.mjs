// Rewrites modules from ES2018 to ES2015, for size. ES2015 has no async functions, and the compiler's own rewriting repeats
// `this`, `arguments` and a class of promises in each; ours use none of them, so one call around a generator is enough.
// Spread objects become one call of `Object.assign` instead of nested ones. Declarations become `let`, which is shorter
// than `const` and merges with its neighbours; the compiler has checked assignments.
import ts from 'typescript';

const { SyntaxKind: Kind, NodeFlags: Flags } = ts;

/** Returns the code with `resumed(function* …)` for each async function; the code declares `resumed`. */
export function toEs2015(code) {
    const source = ts.createSourceFile('bundle.js', code, ts.ScriptTarget.ES2017, true, ts.ScriptKind.JS);
    const transformer = (context) => {
        const { factory } = context;
        const rewritten = (node) => {
            forbidThis(node.body, node);
            const { parameters, body } = node;
            const block = ts.isBlock(body)
                ? body
                : factory.createBlock([factory.createReturnStatement(body)]);
            const star = factory.createToken(Kind.AsteriskToken);
            const generator = factory.createFunctionExpression(
                [],
                star,
                undefined,
                [],
                parameters,
                undefined,
                block,
            );
            return factory.createCallExpression(factory.createIdentifier('resumed'), [], [generator]);
        };
        /** `{ a, ...b, c }` as `Object.assign({ a }, b, { c })`. */
        const assigned = (properties) => {
            const parts = [[]];
            for (const property of properties) {
                if (ts.isSpreadAssignment(property)) parts.push(property.expression, []);
                else parts.at(-1).push(property);
            }
            const sources = parts.filter((source, index) => index === 0 || source.length !== 0);
            const values = sources.map((source) =>
                Array.isArray(source) ? factory.createObjectLiteralExpression(source) : source,
            );
            const assign = factory.createPropertyAccessExpression(
                factory.createIdentifier('Object'),
                'assign',
            );
            return factory.createCallExpression(assign, [], values);
        };
        const visit = (original) => {
            const node = ts.visitEachChild(original, visit, context);
            if (ts.isAwaitExpression(node)) return factory.createYieldExpression(undefined, node.expression);
            if (ts.isVariableDeclarationList(node) && node.flags & Flags.Const)
                return factory.createVariableDeclarationList(node.declarations, Flags.Let);
            if (ts.isObjectLiteralExpression(node) && node.properties.some(ts.isSpreadAssignment))
                return assigned(node.properties);
            if (!node.modifiers?.some(({ kind }) => kind === Kind.AsyncKeyword)) return node;
            const call = rewritten(node);
            if (ts.isMethodDeclaration(node)) return factory.createPropertyAssignment(node.name, call);
            if (!ts.isFunctionDeclaration(node)) return call;
            const declaration = factory.createVariableDeclaration(node.name, undefined, undefined, call);
            const list = factory.createVariableDeclarationList([declaration], Flags.Let);
            const modifiers = node.modifiers.filter(({ kind }) => kind !== Kind.AsyncKeyword);
            return factory.createVariableStatement(modifiers, list);
        };
        return (file) => {
            const changed = ts.visitNode(file, visit);
            changed.statements.filter(ts.isVariableStatement).forEach(markPure);
            return changed;
        };
    };
    const { transformed } = ts.transform(source, [transformer]);
    return ts.createPrinter().printFile(transformed[0]);
}

/** Modules of ours call only what has no effect: bundlers may remove what is not used. */
function markPure({ declarationList }) {
    for (const { initializer } of declarationList.declarations)
        if (initializer && ts.isCallExpression(initializer))
            ts.addSyntheticLeadingComment(initializer, Kind.MultiLineCommentTrivia, '#__PURE__');
}

/** Generators have a `this` and an `arguments` of their own. */
function forbidThis(node, root) {
    if (node.kind === Kind.ThisKeyword || (ts.isIdentifier(node) && node.text === 'arguments'))
        throw new Error(`\`${node.getText?.() ?? 'this'}\` in an async function: ${root.name?.text ?? ''}`);
    if (!ts.isFunctionDeclaration(node) && !ts.isFunctionExpression(node) && !ts.isClassLike(node))
        ts.forEachChild(node, (child) => forbidThis(child, root));
}
