/** The version of the SDK, as reported to the service. A test compares it with the package. */
export const SDK_VERSION = '0.1.0';
