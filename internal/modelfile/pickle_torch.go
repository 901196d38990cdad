package modelfile

import (
	"fmt"
	"strings"
)

// torchStorages maps the legacy storage classes to element types.
var torchStorages = map[string]DType{
	"DoubleStorage": F64, "FloatStorage": F32, "HalfStorage": F16, "BFloat16Storage": BF16,
	"LongStorage": I64, "IntStorage": I32, "ShortStorage": I16, "CharStorage": I8, "ByteStorage": U8, "BoolStorage": Bool,
	"Float8_e4m3fnStorage": F8E4M3, "Float8_e5m2Storage": F8E5M2, "UntypedStorage": U8,
}

// torchDTypes maps torch.dtype attributes to element types.
var torchDTypes = map[string]DType{
	"float64": F64, "double": F64, "float32": F32, "float": F32, "float16": F16, "half": F16, "bfloat16": BF16,
	"float8_e4m3fn": F8E4M3, "float8_e5m2": F8E5M2, "int64": I64, "int32": I32, "int16": I16, "int8": I8,
	"uint64": U64, "uint32": U32, "uint16": U16, "uint8": U8, "bool": Bool,
}

// containers and rebuilders are the names that reduce understands.
var pickleCallable = map[string]bool{
	"torch._utils._rebuild_tensor": true, "torch._utils._rebuild_tensor_v2": true, "torch._utils._rebuild_tensor_v3": true,
	"torch._utils._rebuild_parameter": true, "torch._utils._rebuild_parameter_with_state": true,
	"torch._tensor._rebuild_from_type_v2": true,
	"collections.OrderedDict":             true, "torch.Size": true, "torch.nn.modules.container.ParameterDict": true,
	"builtins.set": true, "__builtin__.set": true,
}

// pickleInert are names that occur in training checkpoints beside the weights. They become objects
// that are never looked into.
var pickleInert = map[string]bool{
	"torch.device": true, "torch.serialization._get_layout": true, "torch.nn.parameter.Parameter": true, "torch.Tensor": true,
	"numpy.core.multiarray.scalar": true, "numpy._core.multiarray.scalar": true, "numpy.dtype": true, "_codecs.encode": true,
	"argparse.Namespace": true, "pathlib.PosixPath": true, "pathlib.WindowsPath": true,
	"collections.defaultdict": true, "collections.Counter": true, "datetime.timedelta": true,
	"builtins.int": true, "builtins.float": true, "builtins.str": true, "builtins.list": true, "builtins.dict": true, "builtins.bool": true,
	"__builtin__.int": true, "__builtin__.float": true, "__builtin__.list": true, "__builtin__.dict": true,
}

// pickleInertPrefixes: bookkeeping of training frameworks, in the checkpoints of SD 1.x for instance.
var pickleInertPrefixes = []string{"pytorch_lightning.callbacks.", "pytorch_lightning.utilities.", "lightning.pytorch.callbacks.",
	"omegaconf."}

// global pushes a name; those outside the lists above end the reading.
func (u *unpickler) global(module, name string) error {
	g := &pyGlobal{module, name}
	full := g.String()
	if module == "torch" || module == "torch.storage" {
		if _, ok := torchStorages[name]; ok {
			return u.push(g)
		}
	}
	if _, ok := torchDTypes[name]; ok && module == "torch" {
		return u.push(g)
	}
	if pickleCallable[full] || inert(full) {
		return u.push(g)
	}
	if strings.HasPrefix(module, "__torch__") {
		return fail(ErrUnsupported, u.field, "export the weights with torch.save(model.state_dict()) or as .safetensors",
			"a TorchScript archive (it refers to %s)", quoteName(full))
	}
	remedy := "it may be an attack: do not open the file with other programs; get the model as .safetensors"
	if strings.HasPrefix(module, "torch.nn.") || strings.HasPrefix(module, "torch.optim.") {
		remedy = "it holds a whole Python object: save its state_dict() instead, best as .safetensors"
	}
	return fail(ErrUnsafePickle, fmt.Sprintf("%s at byte %s", u.field, group(u.pos)), remedy,
		"refers to %s, which is no part of a set of tensors; nothing was run", quoteName(full))
}

func inert(full string) bool {
	if pickleInert[full] {
		return true
	}
	for _, p := range pickleInertPrefixes {
		if strings.HasPrefix(full, p) {
			return true
		}
	}
	return false
}

// reduce interprets "callable(*args)" for the known names.
func (u *unpickler) reduce(callable, args any) error {
	g, ok := callable.(*pyGlobal)
	if !ok {
		return u.bad("calls something that is no known name")
	}
	a, ok := args.(*pyTuple)
	if !ok {
		return u.bad("calls %s without a tuple of arguments", g)
	}
	v, err := u.call(g, a.items, 0)
	if err != nil {
		return err
	}
	return u.push(v)
}

func (u *unpickler) call(g *pyGlobal, args []any, depth int) (any, error) {
	switch full := g.String(); full {
	case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3":
		return u.rebuildTensor(g, args)
	case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state":
		if len(args) > 0 {
			if t, ok := args[0].(*pyTensor); ok {
				return t, nil
			}
		}
		return nil, u.bad("%s without a tensor", g)
	case "torch._tensor._rebuild_from_type_v2":
		if len(args) >= 3 && depth < 4 {
			inner, ok1 := args[0].(*pyGlobal)
			innerArgs, ok2 := args[2].(*pyTuple)
			if ok1 && ok2 {
				return u.call(inner, innerArgs.items, depth+1)
			}
		}
		return nil, u.bad("%s with unexpected arguments", g)
	case "collections.OrderedDict":
		return u.orderedDict(args)
	case "torch.nn.modules.container.ParameterDict":
		return &pyDict{}, nil
	case "torch.Size":
		return u.sequence(g, args, true)
	case "builtins.set", "__builtin__.set":
		return u.sequence(g, args, false)
	default:
		if inert(full) {
			return pyOpaque{}, nil
		}
		return nil, u.bad("calls %s", g)
	}
}

func (u *unpickler) sequence(g *pyGlobal, args []any, tuple bool) (any, error) {
	var items []any
	if len(args) > 0 {
		switch v := args[0].(type) {
		case *pyTuple:
			items = v.items
		case *pyList:
			items = v.items
		default:
			return nil, u.bad("%s of something that is no sequence", g)
		}
	}
	if tuple {
		return &pyTuple{items}, nil
	}
	u.ops += len(items) // copying counts as work, or a short program could copy a long list for ever
	return &pyList{append([]any(nil), items...)}, nil
}

// orderedDict accepts no argument or, as Python 2 wrote it, a list of pairs.
func (u *unpickler) orderedDict(args []any) (any, error) {
	d := &pyDict{}
	if len(args) == 0 {
		return d, nil
	}
	list, ok := args[0].(*pyList)
	if !ok {
		return nil, u.bad("an OrderedDict of something that is no list of pairs")
	}
	u.ops += len(list.items)
	for _, item := range list.items {
		var pair []any
		switch v := item.(type) {
		case *pyTuple:
			pair = v.items
		case *pyList:
			pair = v.items
		}
		if len(pair) != 2 {
			return nil, u.bad("an OrderedDict of something that is no list of pairs")
		}
		d.keys = append(d.keys, pair[0])
		d.vals = append(d.vals, pair[1])
	}
	return d, nil
}

// rebuildTensor takes (storage, offset, size, stride, ...); v3 has the element type as its seventh.
func (u *unpickler) rebuildTensor(g *pyGlobal, args []any) (any, error) {
	if len(args) < 4 {
		return nil, u.bad("%s with %d arguments", g, len(args))
	}
	storage, ok := args[0].(*pyStorage)
	if !ok {
		return nil, u.bad("%s without a storage", g)
	}
	t := &pyTensor{storage: storage, dtype: storage.dtype}
	if t.offset, ok = args[1].(int64); !ok || t.offset < 0 {
		return nil, u.bad("%s with a bad storage offset", g)
	}
	var ok1, ok2 bool
	t.shape, ok1 = intTuple(args[2])
	t.strides, ok2 = intTuple(args[3])
	if !ok1 || !ok2 || len(t.shape) != len(t.strides) {
		return nil, u.bad("%s with a bad size or stride", g)
	}
	if g.name == "_rebuild_tensor_v3" {
		if len(args) < 7 {
			return nil, u.bad("%s with %d arguments", g, len(args))
		}
		d, ok := args[6].(*pyGlobal)
		if !ok || d.module != "torch" || torchDTypes[d.name] == "" {
			return nil, u.bad("%s with a bad dtype", g)
		}
		t.dtype = torchDTypes[d.name]
	}
	return t, nil
}

// intTuple reads a tuple of at most MaxDims non-negative integers.
func intTuple(v any) ([]int64, bool) {
	t, ok := v.(*pyTuple)
	if !ok || len(t.items) > MaxDims {
		return nil, false
	}
	out := make([]int64, len(t.items))
	for i, x := range t.items {
		n, ok := x.(int64)
		if !ok || n < 0 {
			return nil, false
		}
		out[i] = n
	}
	return out, true
}

// persistent interprets ("storage", class, key, location, count[, view]).
func (u *unpickler) persistent(id any) error {
	t, ok := id.(*pyTuple)
	if !ok || len(t.items) < 5 || t.items[0] != "storage" {
		return u.bad("a persistent id that is no storage")
	}
	g, ok := t.items[1].(*pyGlobal)
	dtype := DType("")
	if ok && (g.module == "torch" || g.module == "torch.storage") {
		dtype = torchStorages[g.name]
	}
	key, ok1 := t.items[2].(string)
	count, ok2 := t.items[4].(int64)
	if dtype == "" || !ok1 || !ok2 || count < 0 {
		return u.bad("a storage with a bad class, key or size")
	}
	if len(t.items) > 5 && t.items[5] != nil {
		return fail(ErrUnsupported, u.field, remedyResave, "storage %s is a view of another", quoteName(key))
	}
	return u.push(&pyStorage{dtype: dtype, key: key, count: count})
}

// build applies "object.__setstate__(state)": only a ParameterDict keeps its content there, under
// _parameters (old) or as attributes (new).
func (u *unpickler) build() error {
	state, err := u.pop()
	if err != nil {
		return err
	}
	obj, err := u.top()
	if err != nil {
		return err
	}
	d, ok := obj.(*pyDict)
	s, ok2 := state.(*pyDict)
	if !ok || !ok2 || d == s {
		return nil
	}
	add := func(src *pyDict) {
		u.ops += len(src.keys)
		for i, v := range src.vals {
			if _, tensor := v.(*pyTensor); tensor {
				d.keys = append(d.keys, src.keys[i])
				d.vals = append(d.vals, v)
			}
		}
	}
	for i, k := range s.keys {
		if inner, ok := s.vals[i].(*pyDict); ok && k == "_parameters" && inner != d {
			add(inner)
		}
	}
	add(s)
	return nil
}
