/* LPC edge runtime: public C API.
 *
 * Rules
 *  - The caller owns every buffer; each comes as pointer and capacity in bytes.
 *  - Every function returns an lpc_status; values leave through out-parameters, which are written only on LPC_OK.
 *  - No exception, abort or print crosses this interface. `lpc_last_error` gives the detail of the last failure of
 *    the calling thread.
 *  - All functions may be called from several threads at once on different buffers.
 *  - Status codes, codec ids and dtype ids are pinned: never renumbered, never reused.
 *  - LPC_API_VERSION rises with a change that a program built for an older header would not survive. New functions,
 *    and new fields at the end of a structure whose older size is still taken, leave it as it is.
 *
 * The bytes of a blob are specified in docs/format.md.
 */
#ifndef LPC_LPC_H_
#define LPC_LPC_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define LPC_EXPORT __declspec(dllexport)
#else
#define LPC_EXPORT __attribute__((visibility("default")))
#endif

#define LPC_API_VERSION 1u
#define LPC_FORMAT_VERSION 1u
#define LPC_MAX_RANK 4u

typedef enum lpc_status {
  LPC_OK = 0,
  LPC_INVALID_ARGUMENT = 10,  /* a parameter is out of its documented range */
  LPC_BUFFER_TOO_SMALL = 11,  /* dst capacity is below what the call needs */
  LPC_OUT_OF_MEMORY = 12,     /* */
  LPC_UNSUPPORTED = 20,       /* a codec, dtype, version or implementation that this build does not know */
  LPC_FORMAT_ERROR = 30,      /* malformed blob: the message names field and offset */
  LPC_CHECKSUM_MISMATCH = 31, /* bytes changed: the message names what */
  LPC_IO_ERROR = 40,          /* reading a file failed */
  LPC_NOT_FOUND = 41,         /* no such file, session or name */
  LPC_CANCELLED = 50,         /* the caller asked for it: lpc_cancel_run */
  LPC_WRONG_PROCESS = 51,     /* what a parent made before fork() has no threads in its child */
  LPC_INTERNAL = 90           /* a bug in this library */
} lpc_status;

typedef enum lpc_dtype {
  LPC_DTYPE_BF16 = 1,
  LPC_DTYPE_FP16 = 2,
  LPC_DTYPE_FP32 = 3,
  LPC_DTYPE_INT8 = 4,
  LPC_DTYPE_UINT8 = 5,
  LPC_DTYPE_FP8_E4M3 = 6,
  LPC_DTYPE_FP8_E5M2 = 7
} lpc_dtype;

/* The codecs that a program may want by name; lpc_describe_codec lists those of a build. */
typedef enum lpc_codec {
  LPC_CODEC_STORED = 0,
  LPC_CODEC_LZ4 = 1,
  LPC_CODEC_ANS = 2,
  LPC_CODEC_PACKED = 3,
  LPC_CODEC_BITMAP = 4
} lpc_codec;

/* ---- library ------------------------------------------------------------------------------------------------- */

/* "0.1.0"; static storage. */
LPC_EXPORT const char* lpc_version(void);
/* LPC_API_VERSION of the library, for comparison with the header's. */
LPC_EXPORT uint32_t lpc_api_version(void);
/* "LPC_FORMAT_ERROR" for LPC_FORMAT_ERROR; "unknown status" for a number that is none. Static storage. */
LPC_EXPORT const char* lpc_status_name(lpc_status status);
/* Detail of this thread's last failed call; "" before the first. Valid until this thread's next failing call. */
LPC_EXPORT const char* lpc_last_error(void);
/* Name of the SIMD implementation in use: "scalar", "avx2", "avx512", "avx512_vbmi2" or "neon".
 * LPC_FORCE_IMPL in the environment forces one; an unknown or unsupported name is LPC_UNSUPPORTED. */
LPC_EXPORT lpc_status lpc_implementation(const char** name);
/* Comma-separated names of the implementations that this machine can run, slowest first. Static storage. */
LPC_EXPORT const char* lpc_implementations(void);
/* The lpc_packed_layout that this implementation computes products from quickest. */
LPC_EXPORT lpc_status lpc_fastest_packed_layout(uint32_t* layout);

/* ---- what this build has --------------------------------------------------------------------------------------- */

typedef struct lpc_codec_info {
  uint32_t struct_bytes; /* set by the caller: sizeof(lpc_codec_info) */
  uint32_t codec;        /* its number in blobs and options, such as LPC_CODEC_ANS */
  const char* name;      /* such as "ans"; static storage */
  uint32_t dtypes;       /* bit D: encodes elements of lpc_dtype D; of any other dtype every segment stays raw */
  uint32_t layout_count; /* layouts that lpc_encode_options can name; 0: it has no choice */
  /* 1: products are computed from bf16 matrices as they are stored, in the layout that the codec chooses itself. */
  uint32_t is_multiplied;
  uint32_t is_transcode_target; /* 1: lpc_transcode encodes in it; 0: its tables need the whole tensor */
  uint32_t is_sparse;           /* 1: made for weights of which many are 0 */
  uint32_t reserved;
  /* Decoded bytes a second on one core, a cautious guess for a machine on which nobody measured. */
  uint64_t assumed_decode_bytes_per_s;
} lpc_codec_info;

typedef struct lpc_layout_info {
  uint32_t struct_bytes;  /* set by the caller: sizeof(lpc_layout_info) */
  uint32_t layout;        /* its number in lpc_encode_options, such as LPC_PACKED_HI3 */
  const char* name;       /* such as "hi3"; static storage */
  uint32_t is_multiplied; /* as that of the codec, in this layout */
  uint32_t reserved;
} lpc_layout_info;

/* The codecs of this build, and the layouts of the codec with number `codec`: those with `index` 0, 1 and so on until
 * LPC_NOT_FOUND. LPC_UNSUPPORTED for a codec that this build does not have. */
LPC_EXPORT lpc_status lpc_describe_codec(uint32_t index, lpc_codec_info* info);
LPC_EXPORT lpc_status lpc_describe_layout(uint32_t codec, uint32_t index, lpc_layout_info* info);

/* ---- encoding ------------------------------------------------------------------------------------------------ */

typedef struct lpc_tensor_desc {
  uint32_t dtype;               /* lpc_dtype */
  uint32_t rank;                /* 0..LPC_MAX_RANK; rank 0 is one element */
  uint64_t shape[LPC_MAX_RANK]; /* entries at and beyond rank must be 0 */
} lpc_tensor_desc;

/* Layouts of codec `packed` (docs/format.md, 4.3); 2 was "e3" and is not used again. */
typedef enum lpc_packed_layout {
  LPC_PACKED_E2P3 = 1, /* "e2+3": smallest */
  LPC_PACKED_HI4P = 3, /* "hi4p": 12 bits, quickest to decode without byte expansion instructions */
  LPC_PACKED_HI3 = 4,  /* "hi3": about 11.4 bits, quickest to decode with them (AVX-512 VBMI2) */
  LPC_PACKED_E3P3 = 5  /* "e3+3": about 11.1 bits */
} lpc_packed_layout;

/* What codec `bitmap` does with the non-zeros (docs/format.md, 4.4). */
typedef enum lpc_bitmap_layout {
  LPC_BITMAP_STORED = 1, /* keeps them as they are: quickest */
  LPC_BITMAP_ANS = 2     /* codes them by `ans` */
} lpc_bitmap_layout;

/* Segments out of LPC_PARTIAL_WHOLE that partial compression can leave raw. */
#define LPC_PARTIAL_WHOLE 1024u

typedef struct lpc_encode_options {
  uint32_t struct_bytes; /* sizeof(lpc_encode_options), or 24: without the fields from raw_parts on, which are then 0 */
  uint32_t codec;        /* lpc_codec */
  /* Decoded bytes that a segment aims at, rounded down to whole rows, at least one; 0: 1 MiB, or 64 rows of at most 4
   * MiB. */
  uint64_t segment_bytes;
  uint32_t threads;   /* 0: one a core */
  uint32_t layout;    /* of codec packed: lpc_packed_layout, of codec bitmap: lpc_bitmap_layout; 0 for the smallest */
  uint32_t raw_parts; /* partial compression: of each LPC_PARTIAL_WHOLE segments, how many stay raw; evenly spread */
  uint32_t reserved;  /* 0 */
} lpc_encode_options;

/* Largest blob that lpc_encode can write for this tensor and these options. */
LPC_EXPORT lpc_status lpc_encode_bound(const lpc_tensor_desc* tensor, const lpc_encode_options* options,
                                       uint64_t* bound_bytes);

/* Encodes `src` (dense, row-major, little-endian) into one blob. A segment that the codec cannot shrink is kept raw.
 * The blob does not depend on `threads`. */
LPC_EXPORT lpc_status lpc_encode(const lpc_tensor_desc* tensor, const lpc_encode_options* options, const void* src,
                                 uint64_t src_bytes, void* dst, uint64_t dst_capacity, uint64_t* written_bytes);

/* Encodes the tensor of a blob anew, segment by segment with the same rows: at no time is more than one decoded segment
 * a thread in memory. `options`: a codec with is_transcode_target 1; segment_bytes 0; the tables of packed are made for
 * a sample of the segments. `dst` needs what lpc_transcode_bound says. */
LPC_EXPORT lpc_status lpc_transcode_bound(const void* blob, uint64_t blob_bytes, const lpc_encode_options* options,
                                          uint64_t* bound_bytes);
LPC_EXPORT lpc_status lpc_transcode(const void* blob, uint64_t blob_bytes, const lpc_encode_options* options, void* dst,
                                    uint64_t dst_capacity, uint64_t* written_bytes);

/* Speeds in bytes a second of one board, for partial compression. */
typedef struct lpc_rates {
  uint32_t struct_bytes; /* sizeof(lpc_rates) */
  uint32_t reserved;     /* 0 */
  double bus;            /* reading stored bytes */
  double decode;         /* decoding segments encoded by the codec, in decoded bytes, on all threads that decode */
  double copy;           /* the same for raw segments; 0: they cost nothing */
  double stored_ratio;   /* stored size of an encoded segment in decoded bytes, 0 to 1 */
} lpc_rates;

/* Largest fraction of segments, 0 to 1, whose time is at most 5 % above the shortest there is: the most compression
 * that costs no time worth speaking of. The time is (reading^4 + decoding^4)^(1/4): both overlap, but not wholly where
 * they take equally long. options.raw_parts is LPC_PARTIAL_WHOLE x (1 - fraction). */
LPC_EXPORT lpc_status lpc_partial_fraction(const lpc_rates* rates, double* fraction);

/* ---- inspecting ---------------------------------------------------------------------------------------------- */

typedef struct lpc_blob_info {
  uint32_t struct_bytes; /* set by the caller: sizeof(lpc_blob_info) */
  uint32_t format_version;
  uint32_t codec;
  uint32_t reserved;
  lpc_tensor_desc tensor;
  uint64_t decoded_bytes;
  uint64_t blob_bytes;   /* whole blob, header and padding included */
  uint64_t header_bytes; /* header, segment table and codec parameters */
  uint64_t rows;         /* shape[0], or 1 for rank 0 */
  uint64_t row_bytes;    /* decoded */
  uint64_t rows_per_segment;
  uint64_t segment_count;
  uint64_t raw_segment_count; /* segments kept raw although the codec is not `stored` */
} lpc_blob_info;

typedef struct lpc_segment_info {
  uint32_t struct_bytes;
  uint32_t encoding; /* 0 raw, 1 by the codec */
  uint64_t offset;   /* from the start of the blob */
  uint64_t bytes;    /* stored */
  uint64_t first_row;
  uint64_t row_count;
  uint64_t checksum; /* XXH3-64 of the stored bytes */
} lpc_segment_info;

/* Checks header and segment table (not the segments' contents) of a blob held in memory. Here and below `blob_bytes` is
 * the size of the blob: fewer bytes and trailing bytes are LPC_FORMAT_ERROR. */
LPC_EXPORT lpc_status lpc_describe(const void* blob, uint64_t blob_bytes, lpc_blob_info* info);
LPC_EXPORT lpc_status lpc_describe_segment(const void* blob, uint64_t blob_bytes, uint64_t index,
                                           lpc_segment_info* info);

/* ---- decoding ------------------------------------------------------------------------------------------------ */

/* Decodes the whole tensor; every segment's checksum is verified. `threads` 0: one a core. */
LPC_EXPORT lpc_status lpc_decode(const void* blob, uint64_t blob_bytes, void* dst, uint64_t dst_capacity,
                                 uint32_t threads);
/* Decodes rows [first_row, first_row + row_count); reads and verifies only the segments that hold them. */
LPC_EXPORT lpc_status lpc_decode_rows(const void* blob, uint64_t blob_bytes, uint64_t first_row, uint64_t row_count,
                                      void* dst, uint64_t dst_capacity, uint32_t threads);

/* ---- products ------------------------------------------------------------------------------------------------- */

/* A weight matrix in memory of its own (huge pages where the system grants them), ready for products. */
typedef struct lpc_matrix lpc_matrix;

typedef enum lpc_matrix_form {
  LPC_MATRIX_DECODED = 0, /* any codec, bf16, fp16, fp32 or int8 */
  LPC_MATRIX_PACKED = 1   /* stays as stored; bf16 in codec packed, or bitmap with plain values, else LPC_UNSUPPORTED */
} lpc_matrix_form;

/* From a blob of rank 2, whose checksums are verified; the blob is no longer needed after. `threads` 0: one a core. */
LPC_EXPORT lpc_status lpc_matrix_create(const void* blob, uint64_t blob_bytes, uint32_t form, uint32_t threads,
                                        lpc_matrix** matrix);
/* Gives a decoded int8 matrix its scales, [rows, ceil(columns / group)]: `group` neighbouring columns of a row share
 * one. Products are then with scale times weight, and only with the matrix's transpose. Not while others use the
 * matrix. */
LPC_EXPORT lpc_status lpc_matrix_set_scales(lpc_matrix* matrix, uint64_t group, const float* scales,
                                            uint64_t scale_count);
/* Takes NULL. No other call may use the matrix. */
LPC_EXPORT void lpc_matrix_free(lpc_matrix* matrix);
/* y[m, outputs] = x[m, inputs] . W, dense float32. `rows_are_outputs` 1: W is the transpose of the matrix (inputs =
 * columns, outputs = rows); 0: W is the matrix. For one SIMD implementation the result is the same bit for bit in
 * either form. Several threads may multiply with one matrix at once. */
LPC_EXPORT lpc_status lpc_matrix_multiply(const lpc_matrix* matrix, uint32_t rows_are_outputs, uint64_t m,
                                          const float* x, uint64_t x_elements, float* y, uint64_t y_elements,
                                          uint32_t threads);
/* The same with each of `count` matrices of one shape in turn: y[count, m, outputs]. */
LPC_EXPORT lpc_status lpc_matrix_multiply_each(const lpc_matrix* const* matrices, uint64_t count,
                                               uint32_t rows_are_outputs, uint64_t m, const float* x,
                                               uint64_t x_elements, float* y, uint64_t y_elements, uint32_t threads);
/* The matrix as it decodes, without checksums: from the decoded form a copy. */
LPC_EXPORT lpc_status lpc_matrix_decode(const lpc_matrix* matrix, void* dst, uint64_t dst_capacity, uint32_t threads);
/* Reads all memory of each of `count` matrices in turn and gives its size: how fast products could be at best. */
LPC_EXPORT lpc_status lpc_matrix_read_each(const lpc_matrix* const* matrices, uint64_t count, uint32_t threads,
                                           uint64_t* bytes);

/* ---- execution provider --------------------------------------------------------------------------------------- */

/* What the execution provider did for one session so far. Sessions are named by the provider option "session_id". */
typedef struct lpc_session_stats {
  uint32_t struct_bytes; /* set by the caller: sizeof(lpc_session_stats), or 152: without encode_ns and what follows */
  uint32_t reserved;
  uint64_t nodes_claimed;       /* Decompress nodes fused with their consumer */
  uint64_t nodes_unclaimed;     /* Decompress nodes left to the fallback op */
  uint64_t runs;                /* finished Run calls */
  uint64_t bytes_read;          /* from the weight file */
  uint64_t bytes_decoded;       /* written by the codecs */
  uint64_t blobs_decompressed;  /* whole weights */
  uint64_t layers_decompressed; /* whole layers (embedding row fetches not counted) */
  uint64_t rows_fetched;        /* rows decoded on demand (embedding) */
  uint64_t wait_ns;             /* time that computing waited for weights */
  uint64_t read_ns;             /* time spent reading and verifying, summed over threads */
  uint64_t decode_ns;           /* time spent decoding, summed over threads */
  uint64_t compute_ns;          /* time spent in products */
  uint64_t ring_bytes;          /* size of the ring that weights are decoded into ahead of their use */
  uint64_t pinned_bytes;        /* size of the weights that stay in memory, decoded or as they are stored */
  uint64_t layer;               /* index of the layer whose weights were asked for last: how far a run has come */
  uint64_t read_mode;           /* lpc_read_mode: how the weights are read */
  uint64_t direct_bytes_per_s;  /* of one direct read at a time, where that was compared to choose; else 0 */
  uint64_t buffered_bytes_per_s;
  uint64_t encode_ns;             /* time spent encoding weights for memory, summed over threads */
  uint64_t transcoded_from_bytes; /* what weights that are in memory in another codec than in the file take there */
  uint64_t transcoded_bytes;      /* and here */
  uint64_t transcode_ns;          /* from the beginning of the first of them to the end of the last so far */
} lpc_session_stats;

typedef enum lpc_counter_kind {
  LPC_COUNTER_SUM = 0,  /* grows with what is done: the difference of two answers tells what was done in between */
  LPC_COUNTER_STATE = 1 /* how things are now */
} lpc_counter_kind;

typedef struct lpc_counter_info {
  uint32_t struct_bytes; /* set by the caller: sizeof(lpc_counter_info) */
  uint32_t kind;         /* lpc_counter_kind */
  const char* name;      /* of the field in lpc_session_stats; static storage */
  const char* unit;      /* such as "bytes" or "ns"; static storage */
} lpc_counter_info;

/* The counters in lpc_session_stats, in the order of its fields: `index` 0 is nodes_claimed; LPC_NOT_FOUND after the
 * last one. */
LPC_EXPORT lpc_status lpc_describe_counter(uint32_t index, lpc_counter_info* info);

typedef enum lpc_read_mode {
  LPC_READ_UNDECIDED = 0, /* nothing was read yet, or both ways are being compared */
  LPC_READ_DIRECT = 1,    /* past the page cache */
  LPC_READ_BUFFERED = 2   /* through it; its pages are released at once */
} lpc_read_mode;

LPC_EXPORT lpc_status lpc_get_session_stats(const char* session_id, lpc_session_stats* stats);

/* Where the layers of a session's weights live, as the provider option "residence" says it, such as
 * "1-5:transcoded,6-23:streamed"; "" before the first run. Copies it with its final zero to `text`, which
 * may be NULL, and gives its size with the zero in `text_bytes`; LPC_BUFFER_TOO_SMALL if that is above `capacity`. */
LPC_EXPORT lpc_status lpc_get_session_residence(const char* session_id, char* text, uint64_t capacity,
                                                uint64_t* text_bytes);

/* An option of the execution provider, as docs/provider_options.md lists it. */
typedef struct lpc_option_info {
  uint32_t struct_bytes; /* set by the caller: sizeof(lpc_option_info) */
  uint32_t reserved;
  const char* name; /* texts have static storage */
  const char* values;
  const char* default_value;
  const char* meaning;
} lpc_option_info;

/* The options in order: those with `index` 0, 1 and so on until LPC_NOT_FOUND. */
LPC_EXPORT lpc_status lpc_describe_option(uint32_t index, lpc_option_info* info);

/* What running takes beside weights and texts, and what is kept free for others: what plans go by. Bytes, unless the
 * name says otherwise. */
typedef struct lpc_memory_figures {
  uint32_t struct_bytes; /* set by the caller: sizeof(lpc_memory_figures) */
  uint32_t reserved;
  uint64_t part_bytes;         /* decoded and multiplied in one piece, at most */
  uint64_t part_padding_bytes; /* what such a piece takes more, at most */
  uint64_t least_ring_parts;   /* pieces that the ring holds at least */
  uint64_t read_buffer_bytes;  /* of each reading thread */
  uint64_t read_ahead_threads; /* reading threads beyond those that decode */
  uint64_t row_segment_bytes;  /* the largest segment of a table whose rows are read one by one */
  uint64_t text_bytes;         /* keys, values and activations, where nobody says how long texts will be */
  uint64_t process_bytes;      /* interpreter, onnxruntime, graph and stacks */
  uint64_t reserve_bytes;      /* left to the rest of the system where nobody states a budget */
} lpc_memory_figures;

LPC_EXPORT lpc_status lpc_get_memory_figures(lpc_memory_figures* figures);

/* What a bf16 matrix takes, at most, that is kept in the packed layout of any machine; `stored_bytes` is what it takes
 * in the file. LPC_UNSUPPORTED for another dtype or rank. */
LPC_EXPORT lpc_status lpc_transcoded_bytes_bound(const lpc_tensor_desc* tensor, uint64_t stored_bytes,
                                                 uint64_t* bound_bytes);

/* Makes the Run calls whose RunOptions have the entry "lpc.run_id" with this value stop waiting for weights: they fail
 * with LPC_CANCELLED. (RunOptions' own terminate flag is looked at between nodes only.) LPC_NOT_FOUND if there is no
 * such run now. */
LPC_EXPORT lpc_status lpc_cancel_run(const char* run_id);

/* ---- measuring ----------------------------------------------------------------------------------------------- */

/* What a measurement read, and how long it took. */
typedef struct lpc_measured {
  uint64_t bytes;
  uint64_t nanoseconds; /* at least 1 */
} lpc_measured;

/* Reads `bytes` (rounded down to whole MiB, at least one) of fresh memory over and over with `threads` threads (0: one
 * a core) for about `seconds` (above 0, at most 60); gives the fastest pass. */
LPC_EXPORT lpc_status lpc_measure_memory_read(uint64_t bytes, uint32_t threads, double seconds, lpc_measured* measured);

typedef struct lpc_file_read {
  uint32_t struct_bytes; /* sizeof(lpc_file_read) */
  uint32_t block_bytes;  /* a multiple of 4096, at most 64 MiB */
  uint32_t queue_depth;  /* blocks in flight: 1 to 256 */
  uint32_t direct;       /* 1: O_DIRECT, LPC_UNSUPPORTED where refused; 0: the file's cached pages are dropped first */
  uint64_t offset;       /* where to begin; the end of the file is followed by its beginning */
  double seconds;        /* stops then, or after one round through the file; above 0, at most 60 */
} lpc_file_read;

/* Reads whole blocks of a file in order. */
LPC_EXPORT lpc_status lpc_measure_file_read(const char* path, const lpc_file_read* read, lpc_measured* measured);

#ifdef __cplusplus
}
#endif

#endif /* LPC_LPC_H_ */
