// Rewrites a bundle for size: ES2015 has no async functions, and the compiler's own rewriting repeats `this`, `arguments`
// and a class of promises in each. Ours use none of them, so one call around a generator is enough. Declarations become
// `let`, which is shorter than `const` and merges with its neighbours; the compiler has checked assignments.
import ts from 'typescript';

const { SyntaxKind: Kind, NodeFlags: Flags } = ts;

/** Returns the code with `resumed(function* …)` for each async function; the code declares `resumed`. */
export function asyncFunctions(code) {
    const source = ts.createSourceFile('bundle.js', code, ts.ScriptTarget.ES2017, true, ts.ScriptKind.JS);
    const transformer = (context) => {
        const { factory } = context;
        const rewritten = (node) => {
            forbidThis(node.body, node);
            const { parameters, body } = node;
            const block = ts.isBlock(body) ? body : factory.createBlock([factory.createReturnStatement(body)]);
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
        const visit = (original) => {
            const node = ts.visitEachChild(original, visit, context);
            if (ts.isAwaitExpression(node)) return factory.createYieldExpression(undefined, node.expression);
            if (ts.isVariableDeclarationList(node) && node.flags & Flags.Const)
                return factory.createVariableDeclarationList(node.declarations, Flags.Let);
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
