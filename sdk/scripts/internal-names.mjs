// Names of properties that only the SDK's own code uses, which the build shortens: members of its classes and of
// interfaces marked `@internal`. A name that also occurs anywhere else (in public types, in values that are stored or
// sent, in a text, in exports, in declarations of WeChat or of the language) keeps its spelling everywhere.
import ts from 'typescript';

/** Returns the names. `entry` exports the public API, `published` is its rolled-up declaration file. */
export function internalNames(entry, published, config) {
    const { options } = ts.parseJsonConfigFileContent(
        ts.readConfigFile(config, ts.sys.readFile).config,
        ts.sys,
        config.slice(0, config.lastIndexOf('/')),
    );
    const program = ts.createProgram([entry, published], { ...options, noEmit: true, composite: false });
    const checker = program.getTypeChecker();
    const isPublic = new Set(
        program
            .getSourceFile(published)
            .statements.filter(ts.isClassDeclaration)
            .map(({ name }) => name.text),
    );
    /** Whether a declaration of a property is one of ours that nothing else sees. */
    const isInternal = (declaration) => {
        const { parent } = declaration;
        if (ts.isConstructorDeclaration(parent)) return isInternal(parent);
        if (declaration.getSourceFile().isDeclarationFile) return false;
        if (ts.isClassDeclaration(parent)) return !isPublic.has(parent.name.text);
        return (
            ts.isInterfaceDeclaration(parent) &&
            ts.getJSDocTags(parent).some(({ tagName }) => tagName.text === 'internal')
        );
    };
    /** Whether a property of an object literal belongs to an internal type. */
    const isInternalValue = (property) => {
        const type = checker.getContextualType(property.parent);
        const symbol =
            type && checker.getPropertyOfType(checker.getNonNullableType(type), property.name.text);
        return (symbol?.declarations ?? []).length > 0 && symbol.declarations.every(isInternal);
    };
    const internal = new Set();
    // In UMD, exports are properties.
    const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entry)));
    const others = new Set(exported.map(({ name }) => name));
    const visit = (node) => {
        if (ts.isStringLiteralLike(node)) others.add(node.text);
        if (node.name && ts.isIdentifier(node.name)) {
            if (ts.isObjectLiteralExpression(node.parent))
                (isInternalValue(node) ? internal : others).add(node.name.text);
            else if (ts.isClassElement(node) || ts.isTypeElement(node) || isParameterProperty(node))
                (isInternal(node) ? internal : others).add(node.name.text);
        }
        ts.forEachChild(node, visit);
    };
    program.getSourceFiles().forEach(visit);
    return [...internal].filter((name) => !others.has(name)).sort();
}

function isParameterProperty(node) {
    return ts.isParameter(node) && ts.isParameterPropertyDeclaration(node, node.parent);
}
