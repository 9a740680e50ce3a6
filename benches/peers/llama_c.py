"""llama.cpp's C functions through ctypes, out of the library inside the PyPI package xllamacpp: its server gives no
log-probabilities of a given text. Only for the version that is pinned in parity.py: the structures are those of its headers.
"""

import ctypes
import pathlib

import numpy
import xllamacpp


class Opaque(ctypes.Structure):
    """A structure that is passed by value without looking into it; larger than any of theirs (what is behind is ignored)."""

    _fields_ = [("words", ctypes.c_uint32 * 256)]


class Batch(ctypes.Structure):
    """`llama_batch`."""

    _fields_ = [
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.c_void_p),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


def library():
    path = pathlib.Path(xllamacpp.__file__).parent / "xllamacpp.abi3.so"
    lib = ctypes.CDLL(str(path))
    pointer = ctypes.c_void_p
    for name, result, arguments in [
        ("llama_model_default_params", Opaque, []),
        ("llama_context_default_params", Opaque, []),
        ("llama_model_load_from_file", pointer, [ctypes.c_char_p, Opaque]),
        ("llama_init_from_model", pointer, [pointer, Opaque]),
        ("llama_model_get_vocab", pointer, [pointer]),
        ("llama_vocab_n_tokens", ctypes.c_int32, [pointer]),
        ("llama_vocab_get_add_bos", ctypes.c_bool, [pointer]),
        ("llama_vocab_bos", ctypes.c_int32, [pointer]),
        ("llama_tokenize", ctypes.c_int32, [pointer, ctypes.c_char_p, ctypes.c_int32, ctypes.POINTER(ctypes.c_int32),
                                            ctypes.c_int32, ctypes.c_bool, ctypes.c_bool]),
        ("llama_batch_init", Batch, [ctypes.c_int32, ctypes.c_int32, ctypes.c_int32]),
        ("llama_decode", ctypes.c_int32, [pointer, Batch]),
        ("llama_get_logits_ith", ctypes.POINTER(ctypes.c_float), [pointer, ctypes.c_int32]),
        ("llama_get_memory", pointer, [pointer]),
        ("llama_memory_clear", None, [pointer, ctypes.c_bool]),
        ("llama_token_to_piece", ctypes.c_int32, [pointer, ctypes.c_int32, ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32,
                                                  ctypes.c_bool]),
        ("llama_model_n_layer", ctypes.c_int32, [pointer]),
        ("llama_model_n_head", ctypes.c_int32, [pointer]),
        ("llama_model_n_head_kv", ctypes.c_int32, [pointer]),
        ("llama_model_n_embd", ctypes.c_int32, [pointer]),
    ]:
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class Llama:
    """A model with one context of `slots` tokens."""

    def __init__(self, path, slots, block=256, threads=None, flash=None):
        self.block = block
        self.lib = library()
        self.lib.llama_backend_init()
        # The log callback gets level, text, user data; errors still come as return values.
        self.silent = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
        self.lib.llama_log_set(self.silent, None)
        self.model = model = self.lib.llama_model_load_from_file(str(path).encode(), self.lib.llama_model_default_params())
        assert model, f"llama.cpp cannot open {path}"
        params = self.lib.llama_context_default_params()
        params.words[0], params.words[1], params.words[2] = slots, block, block  # n_ctx, n_batch, n_ubatch
        if threads is not None:
            # n_threads and n_threads_batch; whose default tells that they are where they were.
            assert params.words[7] == params.words[8] == 4, "another version of llama.cpp"
            params.words[7] = params.words[8] = threads
        if flash is not None:
            # flash_attn_type, by default -1: automatic, which is on.
            assert params.words[13] == 2**32 - 1, "another version of llama.cpp"
            params.words[13] = int(flash)
        self.context = self.lib.llama_init_from_model(model, params)
        assert self.context, "llama.cpp cannot make a context"
        self.vocab = self.lib.llama_model_get_vocab(model)
        self.size = self.lib.llama_vocab_n_tokens(self.vocab)
        self.batch = self.lib.llama_batch_init(block, 0, 1)

    def tokenize(self, text, special=False):
        data = text.encode()
        out = (ctypes.c_int32 * (len(data) + 8))()
        n = self.lib.llama_tokenize(self.vocab, data, len(data), out, len(out), True, special)
        assert n >= 0
        return list(out[:n])

    def text(self, tokens):
        pieces = b""
        for token in tokens:
            buffer = ctypes.create_string_buffer(256)
            n = self.lib.llama_token_to_piece(self.vocab, token, buffer, 256, 0, False)
            pieces += buffer.raw[:max(n, 0)]
        return pieces.decode()

    def clear(self):
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.context), True)

    def kv_bytes(self, tokens):
        """Bytes of the keys and values of so many tokens, f16 as by default."""
        lib, model = self.lib, self.model
        width = lib.llama_model_n_embd(model) // lib.llama_model_n_head(model) * lib.llama_model_n_head_kv(model)
        return tokens * lib.llama_model_n_layer(model) * 2 * width * 2

    def run(self, tokens, at):
        """Reads tokens from position `at` on; the likeliest next one."""
        for start in range(0, len(tokens), self.block):
            block = tokens[start:start + self.block]
            last = start + len(block) == len(tokens)
            self.batch.n_tokens = len(block)
            for i, token in enumerate(block):
                self.batch.token[i], self.batch.pos[i], self.batch.n_seq_id[i] = token, at + start + i, 1
                self.batch.logits[i] = last and i + 1 == len(block)
                self.batch.seq_id[i][0] = 0
            assert self.lib.llama_decode(self.context, self.batch) == 0, "llama_decode failed"
        row = self.lib.llama_get_logits_ith(self.context, len(block) - 1)
        return int(numpy.ctypeslib.as_array(row, (self.size,)).argmax())

    def log_probabilities(self, tokens):
        """For every token, in turn, the log-probabilities of what follows it: an iterator of arrays of the vocabulary."""
        self.clear()
        for start in range(0, len(tokens), self.block):
            block = tokens[start:start + self.block]
            self.batch.n_tokens = len(block)
            for i, token in enumerate(block):
                self.batch.token[i], self.batch.pos[i] = token, start + i
                self.batch.n_seq_id[i], self.batch.logits[i] = 1, 1
                self.batch.seq_id[i][0] = 0
            assert self.lib.llama_decode(self.context, self.batch) == 0, "llama_decode failed"
            for i in range(len(block)):
                row = self.lib.llama_get_logits_ith(self.context, i)
                logits = numpy.ctypeslib.as_array(row, (self.size,)).astype(numpy.float64)
                top = logits.max()
                yield logits - top - numpy.log(numpy.exp(logits - top).sum())
