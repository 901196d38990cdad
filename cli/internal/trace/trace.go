// Package trace sends OpenTelemetry traces of HTTP requests where the environment names an endpoint, as OpenTelemetry's own variables do.
package trace

import (
	"context"
	"net/http"
	"os"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/semconv/v1.34.0"
)

// Wanted reports whether the environment names an endpoint.
func Wanted() bool {
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// Start begins to send traces by OTLP over HTTP. wrap has each request traced; stop sends what is left.
func Start(ctx context.Context, version string) (wrap func(http.Handler) http.Handler, stop func(context.Context) error, err error) {
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, err
	}
	about, err := resource.Merge(resource.NewSchemaless(semconv.ServiceName("daguerre"), semconv.ServiceVersion(version)),
		resource.Environment()) // OTEL_SERVICE_NAME goes first
	if err != nil {
		return nil, nil, err
	}
	p := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(about))
	otel.SetTracerProvider(p)
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	return func(h http.Handler) http.Handler { return otelhttp.NewHandler(h, "http") }, p.Shutdown, nil
}
