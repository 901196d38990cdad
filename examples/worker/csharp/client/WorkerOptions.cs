using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace Daguerre.Worker
{
    /// <summary>How a worker is started.</summary>
    public sealed class WorkerOptions
    {
        /// <summary>The program: a path, or a name that is looked up in PATH.</summary>
        public string Program { get; set; } = "daguerre";

        /// <summary>Computes in a child process, which is started again when it dies.</summary>
        public bool Supervise { get; set; } = true;

        /// <summary>The most models open at once.</summary>
        public int? Models { get; set; }

        /// <summary>The most requests that may be unfinished at once.</summary>
        public int? Queue { get; set; }

        /// <summary>The longest line that the worker reads, in MiB.</summary>
        public int? MaxLine { get; set; }

        /// <summary>Logs all that the pipeline and the library have to say.</summary>
        public bool Verbose { get; set; }

        /// <summary>What relative paths in requests begin from; null: this program's folder.</summary>
        public string WorkingDirectory { get; set; }

        /// <summary>Environment variables to set, such as DAGUERRE_LIBRARY.</summary>
        public IDictionary<string, string> Environment { get; } = new Dictionary<string, string>();

        /// <summary>Is told each line of the worker's log, on a thread of the pool; null: the log goes to this program's standard
        /// error.</summary>
        public Action<string> Log { get; set; }

        /// <summary>How long <see cref="DaguerreWorker.Dispose"/> waits before it kills.</summary>
        public TimeSpan ExitTimeout { get; set; } = TimeSpan.FromSeconds(10);

        internal string Arguments()
        {
            var line = new StringBuilder("worker");
            if (Supervise)
                line.Append(" --supervise");
            if (Verbose)
                line.Append(" --verbose");
            Add(line, "--models", Models);
            Add(line, "--queue", Queue);
            Add(line, "--max-line", MaxLine);
            return line.ToString();
        }

        private static void Add(StringBuilder line, string flag, int? value)
        {
            if (value != null)
                line.Append(' ').Append(flag).Append(' ').Append(value.Value.ToString(CultureInfo.InvariantCulture));
        }
    }

    /// <summary>What a worker says of itself when it begins.</summary>
    public sealed class WorkerHello
    {
        /// <summary>The protocol's version: 1.</summary>
        public int Protocol { get; set; }

        /// <summary>The program's version.</summary>
        public string Version { get; set; }

        /// <summary>The types of requests that it takes.</summary>
        public IList<string> Types { get; set; }

        /// <summary>The longest line that it reads, in bytes.</summary>
        public long MaxLine { get; set; }

        /// <summary>Whether the computing is done in a child process.</summary>
        public bool Supervised { get; set; }
    }

    /// <summary>A model that is open.</summary>
    public sealed class LoadedModel
    {
        /// <summary>What requests call it.</summary>
        public string Name { get; set; }

        /// <summary>Its path.</summary>
        public string Model { get; set; }

        /// <summary>Which network it is: sdxl-base, sdxl-refiner, ...</summary>
        public string Kind { get; set; }

        /// <summary>What it is computed on.</summary>
        public string Device { get; set; }

        /// <summary>The type of number it is computed with.</summary>
        public string Precision { get; set; }

        /// <summary>The size of its weights.</summary>
        public long ParameterBytes { get; set; }
    }
}
