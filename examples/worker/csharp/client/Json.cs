using System.IO;
using System.Linq;
using System.Text;
using Newtonsoft.Json;
using Newtonsoft.Json.Linq;

namespace Daguerre.Worker
{
    /// <summary>Lines to objects and back.</summary>
    internal static class Json
    {
        private static readonly JsonSerializer serializer = JsonSerializer.Create(new JsonSerializerSettings
        {
            NullValueHandling = NullValueHandling.Ignore,
            DateParseHandling = DateParseHandling.None, // a prompt may look like a date
        });

        internal static JToken Write(object value) => JToken.FromObject(value, serializer);

        /// <summary>Reads an object. The worker answers in the casing of the question, whichever the caller wrote it in; here every key
        /// becomes PascalCase.</summary>
        internal static JObject Read(string line)
        {
            using (var reader = new JsonTextReader(new StringReader(line)) { DateParseHandling = DateParseHandling.None })
                return (JObject)Pascal(JObject.Load(reader));
        }

        private static JToken Pascal(JToken value)
        {
            if (value is JObject o)
                return new JObject(o.Properties().Select(p => new JProperty(Pascal(p.Name), Pascal(p.Value))));
            if (value is JArray a)
                return new JArray(a.Select(Pascal));
            return value;
        }

        private static string Pascal(string key)
        {
            var name = new StringBuilder(key.Length);
            var first = true;
            foreach (var c in key)
            {
                if (c == '_')
                {
                    first = true;
                    continue;
                }
                name.Append(first ? char.ToUpperInvariant(c) : c);
                first = false;
            }
            return name.ToString();
        }
    }
}
