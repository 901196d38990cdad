using System;
using System.Collections.Generic;
using Newtonsoft.Json.Linq;

namespace Daguerre.Worker
{
    /// <summary>A request failed. <see cref="Code"/> says why, for programs; the message says it for people.</summary>
    public sealed class WorkerException : Exception
    {
        /// <summary>One of the codes of docs/worker.md, such as invalid_request, bad_file, out_of_memory, cancelled, worker_died.</summary>
        public string Code { get; }

        /// <summary>What the command line would have ended with: 2 for a mistake in the request, 3 for a file, 4 for memory, ...</summary>
        public int ExitCode { get; }

        /// <summary>Each mistake in the request.</summary>
        public IList<FieldMistake> Fields { get; }

        internal WorkerException(string code, string message, int exitCode, Exception cause = null, IList<FieldMistake> fields = null)
            : base(message, cause)
        {
            Code = code;
            ExitCode = exitCode;
            Fields = fields ?? new FieldMistake[0];
        }

        internal static WorkerException Of(JObject e) =>
            new WorkerException((string)e["Code"], (string)e["Message"], (int?)e["ExitCode"] ?? 1, null,
                e["Fields"]?.ToObject<List<FieldMistake>>());
    }

    /// <summary>A mistake in a request.</summary>
    public sealed class FieldMistake
    {
        /// <summary>The key, as NumInferenceSteps or Jobs[1].Width.</summary>
        public string Path { get; set; }

        /// <summary>What is wrong with it.</summary>
        public string Message { get; set; }
    }
}
