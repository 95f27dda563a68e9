// Stands for numcodecs' codecs, which no array of a store uses.
export default undefined;
