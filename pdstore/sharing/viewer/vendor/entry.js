// What the viewer takes of its libraries. Its own codecs.js registers zstd (by fzstd, 8 kB without WebAssembly, where
// numcodecs' is 757 kB with it), and crc32c and vlen-utf8 that check; numcodecs is left out.
export { Array as ZarrArray, registry } from "zarrita";
export { decompress } from "fzstd";
