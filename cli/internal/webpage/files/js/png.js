// The texts of a PNG file. A picture's settings are among them; its pixels are not looked at.

const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const longest = 16 << 20; // bytes of one text

/** texts reads the tEXt, zTXt and iTXt chunks: an object of keyword and text. It is empty for other files. */
export async function texts(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  if (signature.some((b, i) => bytes[i] !== b)) return {};
  const view = new DataView(bytes.buffer);
  const found = {};
  for (let at = 8; at + 12 <= bytes.length;) {
    const size = view.getUint32(at);
    const kind = latin1(bytes.subarray(at + 4, at + 8));
    if (size > bytes.length - at - 12 || kind === 'IEND') break;
    const data = bytes.subarray(at + 8, at + 8 + size);
    if (['tEXt', 'zTXt', 'iTXt'].includes(kind) && size <= longest) {
      const [keyword, text] = await read(kind, data);
      found[keyword] ??= text;
    }
    at += 12 + size;
  }
  return found;
}

async function read(kind, data) {
  const [keyword, rest] = cut(data);
  if (kind === 'tEXt') return [latin1(keyword), latin1(rest)];
  if (kind === 'zTXt') return [latin1(keyword), latin1(await inflate(rest.subarray(1)))];
  const packed = rest[0] === 1; // then the method, a language, the keyword in that language, and the text
  const text = cut(cut(rest.subarray(2))[1])[1];
  return [latin1(keyword), new TextDecoder().decode(packed ? await inflate(text) : text)];
}

/** cut divides bytes at the first zero. */
function cut(bytes) {
  const i = bytes.indexOf(0);
  return i < 0 ? [bytes, bytes.subarray(bytes.length)] : [bytes.subarray(0, i), bytes.subarray(i + 1)];
}

function latin1(bytes) {
  let text = '';
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return text;
}

async function inflate(bytes) {
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate')).getReader();
  const pieces = [];
  let size = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > longest) throw new Error('a text of the picture is too long');
    pieces.push(value);
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}
