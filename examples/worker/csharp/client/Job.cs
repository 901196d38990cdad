using System;
using System.Collections.Generic;
using Newtonsoft.Json;
using Newtonsoft.Json.Linq;

namespace Daguerre.Worker
{
    /// <summary>
    /// Pictures to make. What is null is left to the worker's defaults. <see cref="More"/> takes every other key of
    /// docs/configuration.md.
    /// </summary>
    public sealed class Job
    {
        /// <summary>The name of a loaded model, or a path; null: the one used last.</summary>
        public string Model { get; set; }

        /// <summary>What is to be seen.</summary>
        public string Prompt { get; set; }

        /// <summary>What is not.</summary>
        public string NegativePrompt { get; set; }

        /// <summary>Width in pixels.</summary>
        public int? Width { get; set; }

        /// <summary>Height in pixels.</summary>
        public int? Height { get; set; }

        /// <summary>How many steps.</summary>
        public int? NumInferenceSteps { get; set; }

        /// <summary>How much the prompt counts.</summary>
        public double? GuidanceScale { get; set; }

        /// <summary>The first picture's seed; the others have the next ones. Null: one by chance, which the pictures tell.</summary>
        public long? Seed { get; set; }

        /// <summary>How many pictures.</summary>
        public int? NumImages { get; set; }

        /// <summary>A picture to begin from: a path, or its bytes in base64.</summary>
        public string InitImage { get; set; }

        /// <summary>Which part of it to paint again: a path, or its bytes in base64.</summary>
        public string MaskImage { get; set; }

        /// <summary>How much of it to change, from 0 to 1.</summary>
        public double? Strength { get; set; }

        /// <summary>Adapters. One that is to be switched on later is listed with a weight of 0.</summary>
        public IList<Adapter> Lora { get; set; }

        /// <summary>The file to write, with placeholders as docs/configuration.md has them; null: the bytes come with the events.</summary>
        public string Output { get; set; }

        /// <summary>Other keys, in snake_case, camelCase or PascalCase.</summary>
        [JsonExtensionData]
        public IDictionary<string, JToken> More { get; set; } = new Dictionary<string, JToken>();
    }

    /// <summary>An adapter: one that a job asks for, or as it is now.</summary>
    public sealed class Adapter
    {
        /// <summary>What it is called; the file's name where it is null.</summary>
        public string Name { get; set; }

        /// <summary>Its file; null: the one with the name in the model's folders.</summary>
        public string Path { get; set; }

        /// <summary>How much it counts; null: 1.</summary>
        public double? Weight { get; set; }

        /// <summary>How much it counts in the UNet; null: as <see cref="Weight"/>.</summary>
        public double? UnetWeight { get; set; }

        /// <summary>How much it counts in the text encoders; null: as <see cref="Weight"/>.</summary>
        public double? TextEncoderWeight { get; set; }

        /// <summary>Whether it is on; null: it is.</summary>
        public bool? Enabled { get; set; }
    }

    /// <summary>How pictures come, and when.</summary>
    public sealed class Delivery
    {
        /// <summary>path, base64 or both; null: a path where the job has an output, and base64 where not.</summary>
        public string Images { get; set; }

        /// <summary>The format of base64: png, jpeg or webp; null: png.</summary>
        public string Format { get; set; }

        /// <summary>A preview every so many steps; 0: none.</summary>
        public int Previews { get; set; }

        /// <summary>Whether progress is told.</summary>
        public bool Progress { get; set; } = true;

        /// <summary>Requests with a higher one go first.</summary>
        [JsonIgnore]
        public int Priority { get; set; }

        /// <summary>What is not finished after so long fails with the code "deadline"; null: no limit.</summary>
        [JsonIgnore]
        public TimeSpan? Deadline { get; set; }

        internal void AddTo(JObject message)
        {
            message["Deliver"] = Json.Write(this);
            if (Priority != 0)
                message["Priority"] = Priority;
            if (Deadline != null)
                message["DeadlineSeconds"] = Deadline.Value.TotalSeconds;
        }
    }
}
