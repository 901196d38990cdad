using System;
using System.IO;
using Newtonsoft.Json;
using Newtonsoft.Json.Linq;

namespace Daguerre.Worker
{
    /// <summary>Something that happened to a request. Events that have no class of their own are plain ones with their fields in
    /// <see cref="Data"/>.</summary>
    public class WorkerEvent
    {
        /// <summary>What happened, as docs/worker.md calls it: accepted, started, progress, preview, image, warning, done, ...</summary>
        [JsonProperty("Event")]
        public string Name { get; internal set; }

        /// <summary>When, in UTC.</summary>
        [JsonProperty]
        public DateTimeOffset Time { get; internal set; }

        /// <summary>Which of the request's jobs it is about; 0 where it has one.</summary>
        [JsonProperty]
        public int Job { get; internal set; }

        /// <summary>All fields, with keys in PascalCase.</summary>
        [JsonIgnore]
        public JObject Data { get; private set; }

        internal static WorkerEvent Of(JObject data)
        {
            var e = (WorkerEvent)data.ToObject(Class((string)data["Event"]));
            e.Data = data;
            return e;
        }

        private static Type Class(string name)
        {
            switch (name)
            {
                case "progress": return typeof(ProgressEvent);
                case "preview": return typeof(PreviewEvent);
                case "image": return typeof(ImageEvent);
                case "warning": return typeof(WarningEvent);
                case "failed": return typeof(FailedEvent);
                case "restarted": return typeof(RestartedEvent);
                default: return typeof(WorkerEvent);
            }
        }
    }

    /// <summary>How far a job is; at most 20 a second.</summary>
    public sealed class ProgressEvent : WorkerEvent
    {
        /// <summary>text, encode, denoise or decode.</summary>
        [JsonProperty]
        public string Stage { get; internal set; }

        /// <summary>The step of the pictures in work.</summary>
        [JsonProperty]
        public int Step { get; internal set; }

        /// <summary>How many steps these have.</summary>
        [JsonProperty]
        public int Steps { get; internal set; }

        /// <summary>Steps of all the job's pictures that are done.</summary>
        [JsonProperty]
        public int Done { get; internal set; }

        /// <summary>Steps that all the job's pictures have.</summary>
        [JsonProperty]
        public int Total { get; internal set; }

        /// <summary>Pictures that are finished.</summary>
        [JsonProperty]
        public int Finished { get; internal set; }

        /// <summary>Pictures that are wanted.</summary>
        [JsonProperty]
        public int Images { get; internal set; }

        /// <summary>Seconds since the beginning.</summary>
        [JsonProperty]
        public double Seconds { get; internal set; }

        /// <summary>Seconds that are left; null as long as that is not known.</summary>
        [JsonProperty]
        public double? EtaSeconds { get; internal set; }
    }

    /// <summary>How a picture stands, as a JPEG.</summary>
    public sealed class PreviewEvent : WorkerEvent
    {
        /// <summary>Which of the job's pictures.</summary>
        [JsonProperty]
        public int Index { get; internal set; }

        /// <summary>After which step.</summary>
        [JsonProperty]
        public int Step { get; internal set; }

        /// <summary>The file's bytes.</summary>
        [JsonProperty("Data")]
        public byte[] Bytes { get; internal set; }
    }

    /// <summary>A finished picture: a file, its bytes, or both, as <see cref="Delivery.Images"/> asked.</summary>
    public sealed class ImageEvent : WorkerEvent
    {
        /// <summary>Which of the job's pictures.</summary>
        [JsonProperty]
        public int Index { get; internal set; }

        /// <summary>What it began from: a request with this seed makes the same picture.</summary>
        [JsonProperty]
        public long Seed { get; internal set; }

        /// <summary>Width in pixels.</summary>
        [JsonProperty]
        public int Width { get; internal set; }

        /// <summary>Height in pixels.</summary>
        [JsonProperty]
        public int Height { get; internal set; }

        /// <summary>png, jpeg or webp.</summary>
        [JsonProperty]
        public string Format { get; internal set; }

        /// <summary>Where the worker saved it; null if it did not.</summary>
        [JsonProperty]
        public string Path { get; internal set; }

        /// <summary>The file's bytes; null if it was only saved.</summary>
        [JsonProperty("Data")]
        public byte[] Bytes { get; internal set; }

        /// <summary>The file's bytes, read from <see cref="Path"/> where they did not come with the event.</summary>
        public byte[] Read() => Bytes ?? File.ReadAllBytes(Path);
    }

    /// <summary>Something was done otherwise than one may expect.</summary>
    public sealed class WarningEvent : WorkerEvent
    {
        /// <summary>What.</summary>
        [JsonProperty]
        public string Message { get; internal set; }
    }

    /// <summary>A picture, or a whole job, failed for good; the request's others go on.</summary>
    public sealed class FailedEvent : WorkerEvent
    {
        /// <summary>Which of the job's pictures; null: the whole job.</summary>
        [JsonProperty]
        public int? Index { get; internal set; }

        /// <summary>Why, as <see cref="WorkerException.Code"/>.</summary>
        [JsonProperty]
        public string Code { get; internal set; }

        /// <summary>Why, in words.</summary>
        [JsonProperty]
        public string Message { get; internal set; }
    }

    /// <summary>The computing process died and was started again; the worker goes on.</summary>
    public sealed class RestartedEvent : WorkerEvent
    {
        /// <summary>How often so far.</summary>
        [JsonProperty]
        public int Restarts { get; internal set; }

        /// <summary>How it died.</summary>
        [JsonProperty]
        public string Reason { get; internal set; }
    }

    /// <summary>Calls a method for every event, at once and in order. (<see cref="Progress{T}"/> does that on the thread of a window;
    /// where there is none, it calls in any order.)</summary>
    public sealed class Events : IProgress<WorkerEvent>
    {
        private readonly Action<WorkerEvent> told;

        /// <summary>An exception of the method gives the request up and is what its task fails with.</summary>
        public Events(Action<WorkerEvent> told)
        {
            this.told = told ?? throw new ArgumentNullException(nameof(told));
        }

        /// <inheritdoc/>
        public void Report(WorkerEvent value) => told(value);
    }
}
